package settings

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// entry is a key of a mapping with what stands behind it.
type entry struct {
	name  string
	line  int
	value *yaml.Node
}

// entries returns what a mapping holds, merged mappings (<<) included, and
// refuses anything that is none, and keys that stand there twice.
func (l *loader) entries(n *yaml.Node, line int, t reflect.Type, prefix string) []entry {
	key := strings.TrimSuffix(prefix, ".")
	if n = follow(n); n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		l.wrong(line, key, wants(t)+", got "+describe(n, ""), "")
		return nil
	}
	var all []entry
	taken := map[string]bool{}
	// A mapping merged a second time has nothing new to give, so it is not
	// walked again: that ends circles and keeps nests of merges linear.
	seen := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		own := map[string]int{}
		var merges []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := follow(n.Content[i]), n.Content[i+1]
			at := n.Content[i].Line
			if k.Kind != yaml.ScalarNode {
				l.wrong(at, key, "has a key that is "+describe(k, ""), "")
				continue
			}
			if k.ShortTag() == "!!merge" {
				merges = append(merges, v)
				continue
			}
			if first, twice := own[k.Value]; twice {
				l.wrong(at, prefix+k.Value, "stands here a second time, first in line "+strconv.Itoa(first), "remove one of the two")
				continue
			}
			own[k.Value] = at
			if !taken[k.Value] {
				taken[k.Value] = true
				all = append(all, entry{k.Value, at, follow(v)})
			}
		}
		for _, m := range merges {
			from := []*yaml.Node{follow(m)}
			if from[0].Kind == yaml.SequenceNode {
				from = from[0].Content
			}
			for _, f := range from {
				if f = follow(f); f.Kind == yaml.MappingNode {
					walk(f)
				} else {
					l.wrong(m.Line, key, "<< wants a mapping to merge, got "+describe(f, ""), "")
				}
			}
		}
	}
	walk(n)
	// Merged entries come behind, yet may stand before: messages go by line.
	slices.SortStableFunc(all, func(a, b entry) int { return a.line - b.line })
	return all
}

// follow returns what an alias stands for. The parser lets an alias point to a
// node only, never to another alias.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// suits tells whether n is of the type that t takes. YAML guesses types of plain
// scalars; nothing is converted here, as a guess that went wrong is what a person
// has to see.
func suits(n *yaml.Node, t reflect.Type) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch tag := n.ShortTag(); {
	case t == reflect.TypeFor[time.Duration](), t.Kind() == reflect.String:
		return tag == "!!str"
	case t.Kind() == reflect.Bool:
		return tag == "!!bool"
	case t.Kind() == reflect.Float64:
		return tag == "!!float" || tag == "!!int"
	default:
		return tag == "!!int"
	}
}

// describe says what n is, for "got ...".
func describe(n *yaml.Node, tag reflect.StructTag) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch {
	case null(n):
		return "nothing"
	case got(tag, n.Value) == "":
		return "something else"
	case n.ShortTag() == "!!str" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0:
		return "the text " + quoted(n.Value)
	case n.ShortTag() == "!!str":
		return "the quoted text " + quoted(n.Value)
	}
	return plain(n.Value)
}

// mend says how to write a scalar of the wrong type, or "".
func mend(n *yaml.Node, t reflect.Type) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	switch {
	case t == reflect.TypeFor[time.Duration]() && n.ShortTag() != "!!str":
		return "write the unit, as in 30s"
	case t.Kind() == reflect.String:
		return "put it in quotes"
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return "take the quotes away"
	}
	return ""
}
