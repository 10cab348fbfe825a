package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

func TestALoginIsNeededAndTokensAreChecked(t *testing.T) {
	logins := logins{[]byte("secret")}
	server := httptest.NewServer(routes(logins))
	defer server.Close()
	login := func(name string) (int, string) {
		response, err := http.PostForm(server.URL+"/login", url.Values{"name": {name}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	if code, _ := login("not a name"); code != http.StatusBadRequest {
		t.Fatal(code)
	}
	_, token := login("ann")
	if name, isValid := logins.nameOf(token); name != "ann" || !isValid {
		t.Fatal(token)
	}
	for _, wrong := range []string{"", "ann", "ann.", "bob" + token[3:], token + "0"} {
		if _, isValid := logins.nameOf(wrong); isValid {
			t.Fatal(wrong)
		}
	}
}

func TestALineIsStoredOnceAndSurvivesACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	said := line{1, 1, "ann", "é"}
	for range 2 {
		history, err := openHistory(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := history.add(said); err != nil {
				t.Fatal(err)
			}
		}
		if lines := history.lines(); len(lines) != 1 || lines[0] != said {
			t.Fatal(lines)
		}
	}
	// A crash leaves half a line.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.WriteString(`{"stream":1,"ev`)
	_ = file.Close()
	history, err := openHistory(path)
	if err != nil || history.add(line{1, 2, "ann", "b"}) != nil {
		t.Fatal(err)
	}
	if history, err = openHistory(path); err != nil || len(history.lines()) != 2 {
		t.Fatal(history.lines(), err)
	}
}
