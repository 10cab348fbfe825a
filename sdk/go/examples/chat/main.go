// Chat is a page with a login, a chat room with a history, presence, and a background job that reports its progress.
// README.md in this directory describes the messages.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"minerva.dev/minerva"
)

//go:embed index.html
var page []byte

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address of the page")
	file := flag.String("history", "history.jsonl", "file of the history")
	flag.Parse()
	if err := run(*listen, *file); err != nil {
		log.Fatal(err)
	}
}

func run(listen, file string) error {
	history, err := openHistory(file)
	if err != nil {
		return err
	}
	// With a constant secret the logins survive a restart.
	secret := os.Getenv("CHAT_SECRET")
	if secret == "" {
		secret = rand.Text()
	}
	logins := logins{[]byte(secret)}
	chat := newChat(logins, history, &minerva.Streams{})
	server := &http.Server{Addr: listen, Handler: routes(logins), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.ListenAndServe()) }()
	log.Printf("http://%s/", listen)
	return new(minerva.Service).Run(context.Background(), chat.attend)
}

func routes(logins logins) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = response.Write(page)
	})
	mux.HandleFunc("POST /login", func(response http.ResponseWriter, request *http.Request) {
		name := request.FormValue("name")
		if !isName(name) {
			http.Error(response, "a name has 1 to 24 of a-z, 0-9 and -", http.StatusBadRequest)
			return
		}
		_, _ = response.Write([]byte(logins.token(name)))
	})
	return mux
}
