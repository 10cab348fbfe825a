package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

var names = regexp.MustCompile("^[a-z0-9-]{1,24}$")

func isName(name string) bool { return names.MatchString(name) }

// logins issues and checks tokens: a name with a signature. A real application checks a password first.
type logins struct{ secret []byte }

func (l logins) token(name string) string {
	signature := hmac.New(sha256.New, l.secret)
	signature.Write([]byte(name))
	return name + "." + hex.EncodeToString(signature.Sum(nil))
}

// nameOf returns the name in a token, and whether the token is valid.
func (l logins) nameOf(token string) (string, bool) {
	name, _, _ := strings.Cut(token, ".")
	return name, isName(name) && hmac.Equal([]byte(token), []byte(l.token(name)))
}
