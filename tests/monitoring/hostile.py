"""A hostile client of the drill: asks for streams that do not exist, from one address, as fast as the edge answers.

    hostile.py HOST:PORT
"""
import http.client
import sys

HELLO = '{"ver":2,"tnum":0,"id":"%024d","ming":false,"maxia":0,"seenack":"|-1","eeds":null}'
HEADERS = {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/octet-stream"}

number = 0
while True:
    connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
    for _ in range(100):
        number += 1
        connection.request("POST", "/_minerva/io/", body=HELLO % number + "H\n", headers=HEADERS)
        connection.getresponse().read()
    connection.close()
