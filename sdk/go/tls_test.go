package minerva_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"minerva.dev/minerva"
)

// authority signs certificates with the roles of docs/security.md.
type authority struct {
	directory   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := authority{t.TempDir(), &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key}
	made.write(t, "ca", made.certificate, &key.PublicKey)
	return made
}

// issue writes NAME.pem and NAME.key.
func (a authority) issue(t *testing.T, name, role string) minerva.TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse(role)
	a.write(t, name, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, &key.PublicKey)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.writePEM(t, name+".key", "PRIVATE KEY", encoded)
	path := func(file string) string { return filepath.Join(a.directory, file) }
	return minerva.TLSFiles{CA: path("ca.pem"), Cert: path(name + ".pem"), Key: path(name + ".key")}
}

func (a authority) write(t *testing.T, name string, certificate *x509.Certificate, key *ecdsa.PublicKey) {
	t.Helper()
	encoded, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.writePEM(t, name+".pem", "CERTIFICATE", encoded)
}

func (a authority) writePEM(t *testing.T, name, kind string, encoded []byte) {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: encoded})
	if err := os.WriteFile(filepath.Join(a.directory, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMutualTLSWithTheRoleOfTheService(t *testing.T) {
	directory := os.Getenv("MINERVA_BIN")
	if directory == "" {
		directory = "../../target/release"
	}
	program := filepath.Join(directory, "minerva-core")
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is missing: cargo build --release", program)
	}
	authority, api := newAuthority(t), freeAddress(t)
	server := authority.issue(t, "core", "minerva:core")
	core := exec.Command(program, "--store=memory:", "--link="+freeAddress(t), "--api="+api, "--admin="+freeAddress(t),
		"--mtls-ca="+server.CA, "--mtls-cert="+server.Cert, "--mtls-key="+server.Key)
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = core.Process.Kill()
		_ = core.Wait()
	})
	files, other := authority.issue(t, "app", "minerva:app:chat"), authority.issue(t, "other", "minerva:app:other")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	service := &minerva.Service{Cores: "https://" + api, Name: "chat", TLS: &files}
	if err := service.Start(ctx); err != nil {
		t.Fatal(err)
	}
	streams := &minerva.Streams{Cores: api, TLS: &files}
	defer streams.Close()
	if found, err := streams.List(ctx, "chat"); err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
	if err := service.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	// Another role is refused by the core.
	var refused *minerva.StartError
	if err := (&minerva.Service{Cores: api, Name: "chat", TLS: &other}).Start(ctx); !errors.As(err, &refused) {
		t.Fatal(err)
	}
}
