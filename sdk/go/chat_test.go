package minerva_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// program is a running example, compiled once.
func (d deployment) program(t *testing.T, path string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(path, arguments...)
	command.Env = append(os.Environ(), "MINERVA_API="+d.api, "CHAT_SECRET=test")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return command
}

func compiled(t *testing.T, example string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), example)
	output, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./examples/"+example).CombinedOutput()
	if err != nil {
		t.Fatal(string(output), err)
	}
	return path
}

func login(t *testing.T, listen, name string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.PostForm("http://"+listen+"/login", url.Values{"name": {name}})
		if err == nil {
			defer func() { _ = response.Body.Close() }()
			token, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response.Status, err)
			}
			return string(token)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestTheChatHasLoginHistoryPresenceAndJobsAndSurvivesAKill(t *testing.T) {
	d, listen := running(t), freeAddress(t)
	path, history := compiled(t, "chat"), filepath.Join(t.TempDir(), "history")
	chat := d.program(t, path, "-listen", listen, "-history", history)
	token := login(t, listen, "ann")
	d.connect(t, "ann.wrong").expect("log in first|1!")
	ann := d.connect(t, token)
	ann.play(`{"lines":[],"t":"history"}`, `{"names":["ann"],"t":"here"}`,
		`>{"t":"say","text":"hi"}`, `{"name":"ann","t":"line","text":"hi"}`,
		`>{"t":"job"}`, `{"percent":25,"t":"progress"}`, `{"percent":50,"t":"progress"}`, `{"percent":75,"t":"progress"}`,
		`{"percent":100,"t":"progress"}`)
	_ = chat.Process.Kill()
	_ = chat.Wait()
	ann.play(`>{"t":"say","text":"again"}`)
	d.program(t, path, "-listen", listen, "-history", history)
	ann.play(`{"names":["ann"],"t":"here"}`, `{"name":"ann","t":"line","text":"again"}`)
	bob := d.connect(t, login(t, listen, "bob"))
	bob.play(`{"lines":[{"stream":`+number(t, history)+`,"event":1,"name":"ann","text":"hi"},`+
		`{"stream":`+number(t, history)+`,"event":3,"name":"ann","text":"again"}],"t":"history"}`, `{"names":["ann","bob"],"t":"here"}`)
	ann.expect(`{"names":["ann","bob"],"t":"here"}`)
}

// number returns the number of the stream in the first line of the history.
func number(t *testing.T, history string) string {
	t.Helper()
	text, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	before := len("\n{\"stream\":")
	end := before
	for text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return string(text[before:end])
}
