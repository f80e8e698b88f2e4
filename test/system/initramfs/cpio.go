// Package initramfs makes the file system that a kernel unpacks into memory and
// starts /init from: a cpio archive, with the kernel's modules in it.
package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Types of a file, as struct stat has them (inode(7)).
const (
	typeFolder  = 0o040000
	typeFile    = 0o100000
	typeConsole = 0o020000 // character device
)

// Archive collects files. The zero value is empty and ready.
type Archive struct {
	files   []file
	folders map[string]bool
}

type file struct {
	name  string // without a slash in front
	mode  uint32
	major uint32 // of a device
	minor uint32
	data  []byte
}

// File adds a file that is readable by all, and executable when the permissions
// perm say so. The folders that it is in are added as well.
func (a *Archive) File(name string, perm uint32, data []byte) {
	a.add(file{name: name, mode: typeFile | perm, data: data})
}

// Folder adds an empty folder.
func (a *Archive) Folder(name string, perm uint32) {
	a.add(file{name: name, mode: typeFolder | perm})
}

// Console adds /dev/console, which /init has as its standard streams before it
// can mount anything (Documentation/admin-guide/devices.txt: character 5, 1).
func (a *Archive) Console() {
	a.add(file{name: "/dev/console", mode: typeConsole | 0o600, major: 5, minor: 1})
}

func (a *Archive) add(f file) {
	f.name = strings.TrimPrefix(path.Clean(f.name), "/")
	a.parents(f.name)
	if f.mode&typeFolder == typeFolder && f.mode&typeFile != typeFile {
		if a.folders[f.name] {
			return
		}
		a.folders[f.name] = true
	}
	a.files = append(a.files, f)
}

// parents adds the folders above name, the outermost first.
func (a *Archive) parents(name string) {
	if a.folders == nil {
		a.folders = map[string]bool{".": true}
	}
	var missing []string
	for dir := path.Dir(name); !a.folders[dir]; dir = path.Dir(dir) {
		missing = append(missing, dir)
		a.folders[dir] = true
	}
	for _, dir := range slices.Backward(missing) {
		a.files = append(a.files, file{name: dir, mode: typeFolder | 0o755})
	}
}

// WriteTo writes the archive in the format "newc", not compressed
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	var out bytes.Buffer
	for i, f := range append(slices.Clip(a.files), file{name: "TRAILER!!!"}) {
		links := 1
		if len(f.data) > 1<<32-1 {
			return 0, fmt.Errorf("%s does not fit a cpio archive", f.name)
		}
		// ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor
		// rdevminor namesize check, 8 hexadecimal digits each.
		fmt.Fprintf(&out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			i+1, f.mode, 0, 0, links, 0, len(f.data), 0, 0, f.major, f.minor, len(f.name)+1, 0)
		out.WriteString(f.name)
		out.WriteByte(0)
		pad(&out)
		out.Write(f.data)
		pad(&out)
	}
	n, err := w.Write(out.Bytes())
	return int64(n), err
}

// pad fills up to a multiple of four bytes.
func pad(out *bytes.Buffer) {
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
}
