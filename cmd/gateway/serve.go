package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/attest"
	"github.com/mecha-org/mecha-agent/gateway/ca"
	"github.com/mecha-org/mecha-agent/gateway/server"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
	"github.com/mecha-org/mecha-agent/settings"
)

func (a *app) serveCommand() *cobra.Command {
	flags := map[string]string{ // flag to setting
		"listen": "listen", "url": "url", "tls": "tls.mode", "tls-cert": "tls.cert", "tls-key": "tls.key", "tls-names": "tls.names",
	}
	var ready string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and its certificate authority",
		Long: `Serve answers devices and operators until SIGINT or SIGTERM, and then finishes
what it has begun. The first start makes the CA, and an API key in admin.key in
the data folder. root.pem there is what devices and operators trust.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			over := make(map[string]string)
			for flag, key := range flags {
				if f := cmd.Flags().Lookup(flag); f.Changed {
					over[key] = f.Value.String()
				}
			}
			s, _, err := a.load(over)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), s, ready)
		},
	}
	f := cmd.Flags()
	f.String("listen", "", "`host:port` to listen on, port 0 for any free one (default 127.0.0.1:3000)")
	f.String("url", "", "`URL` by which devices and operators reach the gateway (default from --listen)")
	f.String("tls", "", "`mode` of TLS: off (loopback only), own (certificate of its own CA) or files")
	f.String("tls-cert", "", "with --tls files: PEM `file` of the certificate chain")
	f.String("tls-key", "", "with --tls files: PEM `file` of the key")
	f.String("tls-names", "", "with --tls own: comma-separated `names` and addresses of the gateway")
	f.StringVar(&ready, "ready-file", "", "write the gateway's URL to `file` once it listens")
	return cmd
}

// serve is the gateway, in the order in which its parts need each other.
func (a *app) serve(ctx context.Context, s settings.Gateway, ready string) (err error) {
	if err := os.MkdirAll(s.Data, 0o700); err != nil { // before the log, which may lie in it
		return fmt.Errorf("making the data folder: %w", err)
	}
	log, closeLog, err := a.OpenLog(s.Logging)
	if err != nil {
		return err
	}
	defer closeLog()
	unlock, err := lockData(s.Data)
	if err != nil {
		return err
	}
	defer unlock()

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return cli.Fail(cli.ExitFailure, fmt.Errorf("listening: %w", err), "is another gateway running? --listen takes another address")
	}
	defer ln.Close() // again after Serve, which does no harm
	if s.URL == "" {
		s.URL = urlOf(ln.Addr(), s.TLS)
	}

	lists, err := listBase(s.URL, s.TLS)
	if err != nil {
		return err
	}
	authority, err := ca.Open(filepath.Join(s.Data, caFolder), ca.Options{
		Name: s.CA.Name, Validity: s.CA.Validity, Now: time.Now,
		CRLURL: lists + gateway.RouteCRL, RootCRLURL: lists + gateway.RouteRootCRL,
	})
	if err != nil {
		return fmt.Errorf("opening the CA: %w", err)
	}
	if err := writeFile(filepath.Join(s.Data, rootFile), authority.RootPEM(), 0o644); err != nil {
		return fmt.Errorf("writing the root certificate: %w", err)
	}
	tlsConfig, err := tlsFor(s.TLS, authority, log)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, filepath.Join(s.Data, databaseFile))
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer func() {
		if e := db.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("closing the database: %w", e))
		}
	}()

	roots, err := makersRoots(s.Attestation, log)
	if err != nil {
		return err
	}
	srv, err := server.New(serverConfig(s, db, authority, roots, log))
	if err != nil {
		return err
	}
	keyFile := filepath.Join(s.Data, adminKeyFile)
	_, _, made, err := srv.EnsureAdminKeyWith(ctx, func(id string, secret gateway.Secret) error {
		return writeKeyFile(keyFile, id, secret)
	})
	if err != nil {
		return err
	}
	if made {
		log.Info("made the first API key", "file", keyFile)
	}
	if s.Codes.Unannounced {
		log.Warn("unannounced codes are served: whoever asks first with a claimed code becomes the machine")
	}
	if ready != "" {
		if err := writeFile(ready, []byte(s.URL+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the ready file: %w", err)
		}
	}
	log.Info("listening", "address", ln.Addr().String(), "url", s.URL, "tls", s.TLS.Mode,
		"root_fingerprint", authority.RootFingerprint(), "root", filepath.Join(s.Data, rootFile), "version", cli.Version(version))
	if err := srv.Serve(ctx, ln, tlsConfig); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// makersRoots reads the TPM makers' roots; nil when no folder is named.
func makersRoots(s settings.GatewayAttestation, log *slog.Logger) (*attest.Roots, error) {
	if s.Roots == "" || s.Policy == string(server.Off) {
		return nil, nil
	}
	roots, skipped, err := attest.LoadRoots(os.DirFS(s.Roots))
	for _, file := range skipped {
		log.Warn("no certificate of a TPM maker", "file", file, "folder", s.Roots)
	}
	if err != nil {
		return nil, cli.Fail(cli.ExitFailure, fmt.Errorf("attestation.roots %s: %w", s.Roots, err), gateway.HintOf(err))
	}
	log.Info("trusting TPM makers", "roots", roots.Len(), "folder", s.Roots)
	return roots, nil
}

func serverConfig(s settings.Gateway, db *sqlite.Store, authority ca.Authority, roots *attest.Roots, log *slog.Logger) server.Config {
	return server.Config{
		Store: db, CA: authority, Log: log, Now: time.Now, URL: s.URL,
		CodeLife: s.Codes.Life, Exchange: s.Codes.Exchange, Interval: s.Codes.Interval, Unannounced: s.Codes.Unannounced,
		Attestation: server.Attestation{Policy: server.Policy(s.Attestation.Policy), Roots: roots},
		Limits:      server.Limits(s.Limits),
	}
}

// urlOf is the URL of a gateway that was told none and got a port of the system's choice.
func urlOf(addr net.Addr, t settings.GatewayTLS) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	if t.Mode == "off" {
		return "http://" + net.JoinHostPort(host, port)
	}
	if len(t.Names) > 0 {
		host = t.Names[0]
	}
	return "https://" + net.JoinHostPort(host, port)
}

// listBase is the gateway's URL by plain http, where certificates say that the
// revocation lists are: to fetch them may not take the very check that they are
// for (RFC 5280, section 8). A gateway that speaks TLS itself answers for them by
// plain http on the same port.
func listBase(gatewayURL string, t settings.GatewayTLS) (string, error) {
	u, err := url.Parse(gatewayURL)
	if err != nil {
		return "", errors.New("url: not a URL") // the text may hold a password
	}
	if u.Scheme == "https" && u.Port() == "" && t.Mode != "off" {
		u.Host += ":443" // without TLS of our own a proxy is in front, which has port 80 too
	}
	base := url.URL{Scheme: "http", Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
	return base.String(), nil
}

func tlsFor(t settings.GatewayTLS, authority *ca.Local, log *slog.Logger) (*tls.Config, error) {
	switch t.Mode {
	case "own":
		get, err := authority.ServerTLS(t.Names, time.Now)
		if err != nil {
			return nil, fmt.Errorf("making the gateway's TLS certificate: %w", err)
		}
		return &tls.Config{GetCertificate: get, MinVersion: tls.VersionTLS12}, nil
	case "files":
		files, err := openCertFiles(t.Cert, t.Key, log)
		if err != nil {
			return nil, cli.Usage(err, "")
		}
		return &tls.Config{GetCertificate: files.get, MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil //nolint:nilnil // no TLS, on loopback
}
