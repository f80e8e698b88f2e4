//go:build system

package system_test

import (
	"testing"
)

func TestBoards(t *testing.T) {
	for _, b := range boards {
		t.Run(b.name, func(t *testing.T) {
			l := boot(t, b)
			t.Log(l.run(t, 0, "board", "--json"))
			t.Log(l.run(t, 0, "status", "--json"))
		})
	}
}
