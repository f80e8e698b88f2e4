// Package boardtest makes the file systems that board.Detect reads: from text that
// a person can write, and from the device trees that kernels come with.
package boardtest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Tree is a file system in memory, with symbolic links. The zero value is an empty
// one. It is fast where fstest.MapFS is not: a device tree has some thousand folders.
// Files are added before it is read; it does not change under a reader.
type Tree struct {
	root entry
}

// entry is a folder when children is not nil, a link when link is not empty.
type entry struct {
	name     string
	data     []byte
	link     string
	children map[string]*entry
}

// maxLinks bounds how many links one path may lead over, as ELOOP does.
const maxLinks = 40

var (
	errPath  = errors.New("no path below the root")
	errTaken = errors.New("there is something else of that name")
	errLinks = errors.New("too many links")
)

// Add adds a file, and the folders that it needs. A file that is there is replaced.
func (t *Tree) Add(name string, data []byte) error {
	return t.add(name, &entry{data: data})
}

// Link adds a symbolic link. A target that begins with a slash begins at the root of
// the tree.
func (t *Tree) Link(name, target string) error {
	if target == "" {
		return &fs.PathError{Op: "link", Path: name, Err: errPath}
	}
	return t.add(name, &entry{link: target})
}

// Folder adds a folder, which may be there.
func (t *Tree) Folder(name string) error {
	_, err := t.folder(name)
	return err
}

func (t *Tree) add(name string, e *entry) error {
	if name == "." || !fs.ValidPath(name) {
		return &fs.PathError{Op: "add", Path: name, Err: errPath}
	}
	dir, err := t.folder(path.Dir(name))
	if err != nil {
		return err
	}
	e.name = path.Base(name)
	if old := dir.children[e.name]; old != nil && (old.children != nil || old.link != "" || e.link != "") {
		return &fs.PathError{Op: "add", Path: name, Err: errTaken}
	}
	dir.children[e.name] = e
	return nil
}

// folder makes name a folder. It follows no links.
func (t *Tree) folder(name string) (*entry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "add", Path: name, Err: errPath}
	}
	if t.root.children == nil {
		t.root.children = map[string]*entry{}
	}
	at := &t.root
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		next := at.children[part]
		if next == nil {
			next = &entry{name: part, children: map[string]*entry{}}
			at.children[part] = next
		}
		if next.children == nil {
			return nil, &fs.PathError{Op: "add", Path: name, Err: errTaken}
		}
		at = next
	}
	return at, nil
}

// find returns what name leads to, over links also at its end when follow.
func (t *Tree) find(op, name string, follow bool) (*entry, error) {
	fail := func(err error) (*entry, error) {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	root := &entry{name: ".", children: t.root.children}
	if root.children == nil {
		root.children = map[string]*entry{}
	}
	at, where := root, "" // where is the path of at
	rest := name
	if rest == "." {
		rest = ""
	}
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := at.children[part]
		switch {
		case next == nil:
			return fail(fs.ErrNotExist)
		case next.link == "" || rest == "" && !follow:
			at, where = next, path.Join(where, part)
			continue
		}
		if links++; links > maxLinks {
			return fail(errLinks)
		}
		// Clean drops what climbs above the root, as the kernel does.
		target := next.link
		if !path.IsAbs(target) {
			target = path.Join("/", where, target)
		}
		rest = strings.TrimPrefix(path.Join(path.Clean(target), rest), "/")
		at, where = root, ""
	}
	return at, nil
}

// Open opens a file or folder, over links.
func (t *Tree) Open(name string) (fs.File, error) {
	e, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	// A folder says the name that it was opened by, not the one that a link leads to.
	seen := &entry{name: path.Base(name), data: e.data, children: e.children}
	if seen.children == nil {
		return &openFile{info{seen}, bytes.NewReader(seen.data)}, nil
	}
	var list []fs.DirEntry
	for _, child := range slices.Sorted(maps.Keys(seen.children)) {
		list = append(list, info{seen.children[child]})
	}
	return &openFolder{info{seen}, list}, nil
}

// ReadLink returns the target of a link, as it was given.
func (t *Tree) ReadLink(name string) (string, error) {
	e, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if e.link == "" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return e.link, nil
}

// Lstat describes a file, a folder or a link.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	e, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{e}, nil
}

// info is an entry as a directory entry and as what Stat says.
type info struct{ *entry }

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return int64(len(i.data) + len(i.link)) }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) IsDir() bool                { return i.children != nil }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) String() string             { return fs.FormatDirEntry(i) }

func (i info) Mode() fs.FileMode {
	switch {
	case i.children != nil:
		return fs.ModeDir | 0o555
	case i.link != "":
		return fs.ModeSymlink | 0o777
	}
	return 0o444
}

type openFile struct {
	info
	*bytes.Reader
}

func (f *openFile) Size() int64                { return f.info.Size() }
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	info
	rest []fs.DirEntry
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFolder) Close() error               { return nil }

func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: errors.New("is a directory")}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.rest) {
		n = len(f.rest)
	}
	list := f.rest[:n]
	f.rest = f.rest[n:]
	return slices.Clone(list), nil
}

var (
	_ fs.ReadLinkFS  = (*Tree)(nil)
	_ fs.ReadDirFile = (*openFolder)(nil)
)
