package server

import (
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/mecha-org/mecha-agent/gateway"
)

// routeClaimPage is where the QR code on a device leads (RFC 8628, section 3.3.1).
const routeClaimPage = "/claim"

// claimPage is written for a phone. %CODE% and %COMMAND% are filled in; there is
// no script and nothing to load, and the policy in claimPolicy allows none.
const claimPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A machine asks for its identity</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem; color: #111; background: #fff; }
h1 { font-size: 1.4rem; line-height: 1.25; }
code { font-family: ui-monospace, monospace; }
.code { font-size: 2.4rem; letter-spacing: .12em; margin: 1rem 0; overflow-wrap: anywhere; }
.command { padding: .75rem; background: #eee; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #111; } .command { background: #222; } }
</style>
</head>
<body>
<h1>A machine asks for its identity</h1>
%CODE%<p>An operator of this gateway says yes to it with</p>
<p class="command"><code>mecha-gateway claim %COMMAND%</code></p>
<p>Before the yes, compare model, serial number and key fingerprint with the machine in front of you. Programs claim
with <code>POST ` + gateway.RouteClaim + `</code> and an API key.</p>
<p>Nothing is claimed on this page. If you are no operator, ask one, or leave the machine alone: the code ends by itself.</p>
</body>
</html>
`

const claimPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// claimPage says what to do with a code. It asks the store nothing, so that it
// tells nobody which codes there are.
func (d *httpDoor) claimPage(w http.ResponseWriter, r *http.Request) error {
	shown, command := "", "CODE"
	if code, err := gateway.ParseCode(r.URL.Query().Get("code")); err == nil {
		command = html.EscapeString(code)
		shown = `<p>Its code is</p>` + "\n" + `<p class="code"><code>` + command + "</code></p>\n"
	}
	page := strings.NewReplacer("%CODE%", shown, "%COMMAND%", command).Replace(claimPage)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	h.Set("Content-Security-Policy", claimPolicy)
	h.Set("Referrer-Policy", "no-referrer") // the code stands in the address
	w.WriteHeader(http.StatusOK)
	w.Write([]byte(page)) //nolint:errcheck // an error means that the caller went away
	return nil
}
