package minerva_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"minerva.dev/minerva"
)

// deployment is a running `minerva`.
type deployment struct{ listen, api, admin string }

// running starts `minerva` of MINERVA_BIN, or of target/release. The test is skipped without the program.
func running(t *testing.T) deployment {
	t.Helper()
	directory := os.Getenv("MINERVA_BIN")
	if directory == "" {
		directory = "../../target/release"
	}
	program := filepath.Join(directory, "minerva")
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is missing: cargo build --release", program)
	}
	d := deployment{freeAddress(t), freeAddress(t), freeAddress(t)}
	command := exec.Command(program, "--listen="+d.listen, "--api="+d.api, "--admin="+d.admin, "--demo=off", "--app-grace=1s",
		"--data-dir="+t.TempDir())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get("http://" + d.admin + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return d
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("minerva is not ready")
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// serve runs a service until the end of the test, or until the returned function is called.
func (d deployment) serve(t *testing.T, handler minerva.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	service := &minerva.Service{Cores: d.api, InstanceID: "test", IgnoreSignals: true}
	if err := service.Start(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx, handler) }()
	isStopped := false
	stop = func() {
		if isStopped {
			return
		}
		isStopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(15 * time.Second):
			t.Error("the service does not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

// client is a client of version 2 over one TCP transport, which acknowledges nothing: docs/protocol.md, sections 2 and 3.
type client struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	sent   int
}

func (d deployment) connect(t *testing.T, credentials string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", d.listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, conn: conn, reader: bufio.NewReader(conn)}
	c.write([]byte("<int32/>\n"))
	hello, _ := json.Marshal(map[string]any{
		"ver": 2, "tnum": 0, "id": rand.Text(), "new": true, "ming": true, "maxia": 10, "eeds": nil, "seenack": "|-1",
		"cred": credentials,
	})
	c.frame(string(hello) + "H")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if c.sent == 0 {
		c.frame("0N")
	}
	c.sent++
	c.frame(text + " ")
}

// expect reads the next message, or the frame that ends the stream.
func (c *client) expect(expected string) {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		var length [4]byte
		if _, err := io.ReadFull(c.reader, length[:]); err != nil {
			c.t.Fatalf("%v in place of %q", err, expected)
		}
		frame := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(c.reader, frame); err != nil {
			c.t.Fatal(err)
		}
		text, isMessage := strings.CutSuffix(string(frame), " ")
		if isMessage || strings.HasSuffix(text, "!") {
			if text != expected {
				c.t.Fatalf("%q in place of %q", text, expected)
			}
			return
		}
	}
}

func (c *client) frame(frame string) {
	c.t.Helper()
	c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
}

func (c *client) write(data []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(data); err != nil {
		c.t.Fatal(err)
	}
}

func echo(ctx context.Context, stream *minerva.Stream) error {
	for message := range stream.Messages(ctx) {
		answer := minerva.Text(fmt.Sprintf("%d:%s", message.Event, message.Text()))
		if err := stream.Answer(ctx, message.Event, answer); err != nil {
			return err
		}
	}
	return nil
}
