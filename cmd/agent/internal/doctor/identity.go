package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/identity"
)

// Free space below which a check complains: an identity has some 10 KiB, and the
// one before it stays until the new one is in use.
const (
	leastFree = 1 << 20
	goodFree  = 16 << 20
)

// endsSoon is how long before its end a certificate is worth a look.
const endsSoon = 30 * 24 * time.Hour

const anew = "mecha-agent provision, or press the button"

// checkState looks at the folder of the identity, or where it will be made.
func checkState(_ context.Context, p *patient) Finding {
	folder := p.Settings.Provisioning.Paths.State
	found := folder
	info, err := os.Stat(folder)
	for errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder)
		found = p.Settings.Provisioning.Paths.State + " will be made"
		info, err = os.Stat(folder)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fail(err.Error(), asService)
	case err != nil:
		return broken(err, "")
	case !info.IsDir():
		return fail(folder+" is no folder", "move it away, or set provisioning.paths.state")
	case folder == p.Settings.Provisioning.Paths.State && info.Mode().Perm()&0o022 != 0:
		return fail(fmt.Sprintf("%s has mode %04o, so that others can replace the identity", folder, info.Mode().Perm()), "chmod 700 '"+folder+"'")
	}
	if err := p.Writable(folder); err != nil {
		mend := "mount the file system for writing, or set provisioning.paths.state"
		if errors.Is(err, fs.ErrPermission) {
			mend = fmt.Sprintf("%s, or make the folder for %s: sudo install -d -m 700 -o %s '%s'", asService, p.User, p.User, p.Settings.Provisioning.Paths.State)
		}
		return fail(err.Error(), mend)
	}
	free, err := p.Free(folder)
	if err != nil {
		return broken(err, "").as(Warn)
	}
	const mend = "make room: sudo journalctl --vacuum-size=50M, sudo apt clean"
	room := fmt.Sprintf("%s, %d MiB free", found, free>>20)
	switch {
	case free < leastFree:
		return fail(room, mend)
	case free < goodFree:
		return warn(room, mend)
	}
	return ok("%s", room)
}

// asService is for files that another user has.
const asService = "run this as the user of the agent: sudo -u USER mecha-agent doctor"

// checkIdentity reads the identity as other programs do, through the configured
// paths: the store is the running agent's.
func checkIdentity(ctx context.Context, p *patient) Finding {
	paths := p.Settings.Provisioning.Paths
	var text [3]string
	for i, path := range []string{paths.Machine.Cert, paths.Root.Cert, paths.CABundle.Cert} {
		data, err := readBounded(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && i == 0:
			return Finding{Result: Skip, Found: "none yet", Mend: anew}
		case errors.Is(err, fs.ErrNotExist) && i == 2: // the root may be the issuer
		case err != nil:
			return unread(err)
		}
		text[i] = string(data)
	}
	block, _ := pem.Decode([]byte(text[0]))
	if block == nil {
		return fail(paths.Machine.Cert+" holds no certificate", anew)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fail(fmt.Sprintf("%s: %v", paths.Machine.Cert, err), anew)
	}
	path, err := filepath.EvalSymlinks(paths.Machine.PrivateKey)
	if err != nil {
		return unread(err)
	}
	key, _, err := p.Key(ctx, path)
	if err != nil {
		return unread(err)
	}
	// At the time of its making, so that damage is told from age and from the clock.
	id, err := identity.Verify(leaf.Subject.CommonName, key,
		gateway.Issued{Cert: text[0], RootCert: text[1], CABundle: bundle(text[2])}, leaf.NotBefore)
	if err != nil {
		return broken(err, anew)
	}
	return p.age(id)
}

func bundle(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// unread is an identity that cannot be read: by this user, or at all.
func unread(err error) Finding {
	if errors.Is(err, fs.ErrPermission) {
		return Finding{Result: Skip, Found: err.Error(), Mend: asService}
	}
	return broken(err, anew)
}

// age judges a sound identity by the clock.
func (p *patient) age(id identity.Identity) Finding {
	now, day := p.Now(), time.DateOnly
	found := fmt.Sprintf("machine %s, certificate until %s", id.MachineID, id.NotAfter.Format(day))
	switch {
	case now.Add(identity.ClockSkew).Before(id.NotBefore):
		return fail(fmt.Sprintf("machine %s, certificate from %s on, and the clock is before it", id.MachineID, id.NotBefore.Format(day)),
			"sudo timedatectl set-ntp true")
	case now.After(id.NotAfter):
		return fail(found+": it has ended", anew)
	case now.Add(endsSoon).After(id.NotAfter):
		return warn(found, anew)
	}
	return ok("%s", found)
}

// readBounded reads a file that may be anything.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, identity.MaxPEM))
}
