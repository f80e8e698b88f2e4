package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/choose"
	"github.com/mecha-org/mecha-agent/settings"
)

// signOptions are the flags of the sign command.
type signOptions struct {
	hash, output string
	base64       bool
}

// signHashes are those that every keystore signs with, by the names that openssl
// has for them.
var signHashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

func (a *app) signCommand() *cobra.Command {
	var o signOptions
	c := &cobra.Command{Use: "sign [FILE|-]", Short: "Sign a file with this machine's key", Args: cobra.MaximumNArgs(1),
		Long: `sign signs a file, or standard input, with the key of the identity in use: ECDSA
(FIPS 186-5) over the hash of the content, in ASN.1 DER. openssl verifies it:

    mecha-agent sign --output FILE.sig FILE
    mecha-agent key --public > machine-key.pem
    openssl dgst -sha256 -verify machine-key.pem -signature FILE.sig FILE

An agent need not run, and may. The content is read once and not kept. A key that
is being made and has no certificate signs nothing.

Without --output the signature goes to standard output, in DER. A terminal is not
sent DER: give --base64 there. With --json: algorithm, hash, key_fingerprint, and
signature, which is base64 of the DER.

Whoever verifies should know what they verify: the key also proves who this
machine is. Content that would be a proof of identity elsewhere (what TLS clients
sign in a handshake, the inside of a certificate signing request) is refused;
docs/tpm.md says what that can do and what it cannot.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := a.load()
			if err != nil {
				return err
			}
			input := "-"
			if len(args) == 1 {
				input = args[0]
			}
			return a.sign(c.Context(), cfg, o, input)
		}}
	c.Flags().StringVar(&o.hash, "hash", "sha256", "`hash` of the content: sha256, sha384 or sha512")
	c.Flags().StringVarP(&o.output, "output", "o", "", "`file` for the signature")
	c.Flags().BoolVar(&o.base64, "base64", false, "write the signature in base64, on a line")
	_ = c.RegisterFlagCompletionFunc("hash", cobra.FixedCompletions([]string{"sha256", "sha384", "sha512"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// signatureJSON is what sign --json prints.
type signatureJSON struct {
	Algorithm   string `json:"algorithm"`
	Hash        string `json:"hash"`
	Fingerprint string `json:"key_fingerprint"`
	Signature   []byte `json:"signature"`
}

// sign signs the content of the file input, "-" for standard input. Nothing is
// written unless it succeeds.
func (a *app) sign(ctx context.Context, cfg settings.Agent, o signOptions, input string) error {
	hash, ok := signHashes[o.hash]
	switch {
	case !ok:
		return cli.Usage(fmt.Errorf("--hash: %q is none that this program signs with", o.hash), "give sha256, sha384 or sha512")
	case o.output == "" && !o.base64 && !a.JSON && cli.IsTerminal(a.Stdout):
		return cli.Usage(errors.New("a signature is binary, and standard output is a terminal"), "give --output FILE, or --base64")
	case input != "-" && o.output != "" && sameFile(input, o.output):
		return cli.Usage(fmt.Errorf("--output: %s is the file to be signed", o.output), "give another file")
	}
	// What the files say is looked at before a long content is read, the TPM after it:
	// others may want it meanwhile.
	if _, _, err := signingKey(ctx, cfg); err != nil {
		return err
	}
	made, err := interruptible(ctx, func() (signatureJSON, error) {
		digest, err := a.digest(hash, input)
		if err != nil {
			return signatureJSON{}, err
		}
		return signDigest(ctx, cfg, hash, digest)
	})
	if err != nil {
		return err
	}
	made.Algorithm, made.Hash = "ECDSA", o.hash
	return a.writeSignature(made, o)
}

func (a *app) writeSignature(made signatureJSON, o signOptions) error {
	text := made.Signature
	if o.base64 {
		text = append(base64.StdEncoding.AppendEncode(nil, text), '\n')
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, text, 0o644); err != nil {
			return fmt.Errorf("writing the signature: %w", err)
		}
	}
	if a.JSON {
		return a.PrintJSON(made)
	}
	if o.output != "" {
		return nil
	}
	_, err := a.Stdout.Write(text)
	return err
}

// interruptible is f, left behind when ctx ends: neither reading a terminal nor
// connecting to a TPM looks at a context. The process ends soon after.
func interruptible[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return *new(T), cli.Fail(cli.ExitFailure, errors.New("interrupted"), "")
	}
}

// digest reads the content through, and refuses what must not be signed.
func (a *app) digest(hash crypto.Hash, input string) ([]byte, error) {
	from, size := a.Stdin, int64(0)
	if input != "-" {
		f, err := os.Open(input)
		if err != nil {
			return nil, fmt.Errorf("reading what is to be signed: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		from = f
	}
	content := bufio.NewReader(from)
	head, err := content.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading what is to be signed: %w", err)
	}
	if err := refuseToSign(head); err != nil {
		return nil, err
	}
	m := newMeter(a.Stderr, cli.IsTerminal(a.Stderr), size)
	defer m.end()
	h := hash.New()
	if _, err := io.Copy(io.MultiWriter(h, m), content); err != nil {
		return nil, fmt.Errorf("reading what is to be signed: %w", err)
	}
	return h.Sum(nil), nil
}

// signingKey finds the key of the identity in use, by its files. A key whose
// certificate is another one's is no identity.
func signingKey(ctx context.Context, cfg settings.Agent) (*ecdsa.PublicKey, keystore.Info, error) {
	files, pub, info, err := keyInUse(ctx, cfg)
	if err != nil {
		return nil, info, whoMay(err, cfg, "sign")
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, info, fmt.Errorf("the machine's key is %T, want ECDSA", pub)
	}
	cert, err := readCertificate(files.Cert)
	if err == nil && !key.Equal(cert.PublicKey) {
		err = errors.New("it is for another key than the machine's")
	}
	if err != nil {
		return nil, info, cli.Fail(cli.ExitFailure, fmt.Errorf("certificate %s: %w", files.Cert, err),
			"the identity is damaged: mecha-agent key rotate")
	}
	return key, info, nil
}

// maxCertificate bounds what is read of a certificate's file, in bytes.
const maxCertificate = 1 << 20

func readCertificate(path string) (*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCertificate))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

// signDigest has the key of the identity in use sign. Each command of a TPM ends in
// time, and so does this.
func signDigest(ctx context.Context, cfg settings.Agent, hash crypto.Hash, digest []byte) (signatureJSON, error) {
	made, err := tryToSign(ctx, cfg, hash, digest)
	if errors.Is(err, keystore.ErrNotExist) || errors.Is(err, fs.ErrNotExist) { // replaced between two looks
		made, err = tryToSign(ctx, cfg, hash, digest)
	}
	return made, err
}

func tryToSign(ctx context.Context, cfg settings.Agent, hash crypto.Hash, digest []byte) (signatureJSON, error) {
	pub, info, err := signingKey(ctx, cfg)
	if err != nil {
		return signatureJSON{}, err
	}
	if cfg.Keystore.Backend == choose.Auto {
		cfg.Keystore.Backend = info.Backend // so that no TPM is asked about a key on the disk
	}
	key, err := openOwnKey(ctx, cfg)
	if err != nil {
		return signatureJSON{}, cli.Fail(cli.ExitFailure, err, "")
	}
	defer key.Close()
	if !pub.Equal(key.Public()) {
		return signatureJSON{}, fmt.Errorf("%w any more: it was replaced just now", keystore.ErrNotExist)
	}
	signature, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		hint := ""
		if info.Backend == choose.TPM && hash != crypto.SHA256 && gateway.HintOf(err) == "" {
			hint = "not every TPM has this hash: try --hash sha256"
		}
		return signatureJSON{}, cli.Fail(cli.ExitFailure, err, hint)
	}
	if !ecdsa.VerifyASN1(pub, digest, signature) {
		return signatureJSON{}, errors.New("the signature does not verify: the keystore has made a mistake")
	}
	return signatureJSON{Fingerprint: info.Fingerprint, Signature: signature}, nil
}
