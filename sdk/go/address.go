package minerva

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxAddresses bounds the addresses per service, and the socket addresses used per host name.
	maxAddresses = 64
	// lookupTimeout is the deadline of one DNS lookup.
	lookupTimeout = 5 * time.Second
	// connectTimeout is the deadline of a connection attempt.
	connectTimeout = 5 * time.Second
	// maxResponseBytes is well above the batches of a core.
	maxResponseBytes = 32 << 20
	// keepaliveInterval and the same time for the answer: a dead core is noticed within 20 s.
	keepaliveInterval = 10 * time.Second
	// defaultCores is the API of a core in this machine.
	defaultCores = "127.0.0.1:7400"
)

// TLSFiles are the PEM files of mutual TLS; docs/security.md describes the certificates. The files are read for each
// connection, so renewed certificates need no restart.
type TLSFiles struct {
	// CA has the certificates that sign those of the cores.
	CA string
	// Cert and Key are the certificate and the private key of this program.
	Cert, Key string
}

// tlsFromEnvironment returns the files of the variables MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY; nil without.
func tlsFromEnvironment() *TLSFiles {
	files := TLSFiles{os.Getenv("MINERVA_MTLS_CA"), os.Getenv("MINERVA_MTLS_CERT"), os.Getenv("MINERVA_MTLS_KEY")}
	if files == (TLSFiles{}) {
		return nil
	}
	return &files
}

// config reads the files. The name in the certificate of the core is compared with the host of the authority of the call.
func (f *TLSFiles) config() (*tls.Config, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, startErrorf("the CA of TLS: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, startErrorf("the CA of TLS: %s contains no certificate in PEM form", f.CA)
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
	if f.Cert != "" || f.Key != "" {
		certificate, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, startErrorf("certificate and key of TLS: %v", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// address is one configured address of a core.
type address struct {
	host  string
	port  string
	isTLS bool
}

// key identifies the core until the id of the core is known.
func (a address) key() string { return net.JoinHostPort(a.host, a.port) }

func (a address) isIP() bool { return net.ParseIP(a.host) != nil }

// resolve returns the targets of the host; none if the lookup fails now.
func (a address) resolve(ctx context.Context, logger *slog.Logger) []string {
	if a.isIP() {
		return []string{a.key()}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, a.host)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			logger.Warn("minerva: cannot resolve the host of a core", "host", a.host, "error", err)
		}
		return nil
	}
	targets := make([]string, 0, len(found))
	for _, ip := range found {
		targets = append(targets, net.JoinHostPort(ip, a.port))
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	return targets[:min(len(targets), maxAddresses)]
}

// parseAddresses parses addresses with commas in between, and removes duplicates.
func parseAddresses(cores string, hasTLS bool) ([]address, error) {
	if cores == "" {
		cores = os.Getenv("MINERVA_API")
	}
	if cores == "" {
		cores = defaultCores
	}
	var found []address
	for text := range strings.SplitSeq(cores, ",") {
		parsed, err := parseAddress(strings.TrimSpace(text), hasTLS)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(found, parsed) {
			found = append(found, parsed)
		}
	}
	if len(found) > maxAddresses {
		return nil, startErrorf("%d addresses of cores: 1 to %d are possible", len(found), maxAddresses)
	}
	return found, nil
}

func parseAddress(text string, hasTLS bool) (address, error) {
	problem := startErrorf("`%s` is not the address of a core: use HOST:PORT, http://HOST:PORT, or https://HOST:PORT", text)
	full := text
	if !strings.Contains(text, "://") {
		full = "http://" + text
		if hasTLS {
			full = "https://" + text
		}
	}
	parsed, err := url.Parse(full)
	if err != nil {
		return address{}, problem
	}
	isPlain := (parsed.Path == "" || parsed.Path == "/") && parsed.RawQuery == "" && parsed.Fragment == "" && parsed.User == nil
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" || !isPlain {
		return address{}, problem
	}
	port, isTLS := parsed.Port(), parsed.Scheme == "https"
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[isTLS]
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, problem
	}
	if isTLS && !hasTLS {
		return address{}, startErrorf("`%s` needs TLS files: set TLS, or MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY", text)
	}
	return address{parsed.Hostname(), port, isTLS}, nil
}

// bearer returns the value of the header with the token, or with that of the variable MINERVA_TOKEN; empty without a token.
func bearer(token string) (string, error) {
	if token == "" {
		token = os.Getenv("MINERVA_TOKEN")
	}
	if token == "" {
		return "", nil
	}
	if strings.ContainsFunc(token, func(character rune) bool { return character < '!' || character > '~' }) {
		return "", startErrorf("the token has other characters than 0x21-0x7E: copy it again")
	}
	return "Bearer " + token, nil
}

// dial returns a connection to one target of an address, made by the first call.
func dial(at address, target string, files *TLSFiles) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if at.isTLS {
		config, err := files.config()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	return grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(transport),
		grpc.WithAuthority(at.key()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveInterval, Timeout: keepaliveInterval, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponseBytes)),
		// Retries with back-off are those of the service, and the proxies of the environment are for the web.
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
}
