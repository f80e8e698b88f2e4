package server

import (
	"net/http"
	"strconv"

	"github.com/mecha-org/mecha-agent/gateway"
)

func (d *httpDoor) ping(w http.ResponseWriter, r *http.Request) error {
	if err := d.service.Ping(r.Context()); err != nil {
		return err
	}
	return d.answer(w, nil)
}

func (d *httpDoor) announce(w http.ResponseWriter, r *http.Request) error {
	var b gateway.AnnounceBody
	if err := d.readBody(r, &b); err != nil {
		return err
	}
	now := d.now() // before the call, so that a life of 300 s is not told as 299
	s, err := d.service.Announce(r.Context(), d.caller(r), b.Announcement())
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewSessionPayload(s, now))
}

func (d *httpDoor) findManifest(w http.ResponseWriter, r *http.Request) error {
	deviceCode := bearer(r.Header.Get("Authorization"))
	m, err := d.service.FindManifest(r.Context(), d.caller(r), r.URL.Query().Get("code"), deviceCode)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewManifestPayload(m))
}

func (d *httpDoor) sign(w http.ResponseWriter, r *http.Request) error {
	var b gateway.SignBody
	if err := d.readBody(r, &b); err != nil {
		return err
	}
	issued, err := d.service.Sign(r.Context(), d.caller(r), b.SignRequest())
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewIssuedPayload(issued))
}

func (d *httpDoor) findRequest(w http.ResponseWriter, r *http.Request) error {
	p, err := d.service.FindRequest(r.Context(), d.caller(r), r.URL.Query().Get("code"))
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewFindPayload(p))
}

func (d *httpDoor) claim(w http.ResponseWriter, r *http.Request) error {
	var b gateway.ClaimBody
	if err := d.readBody(r, &b); err != nil {
		return err
	}
	c, err := d.service.ClaimRequest(r.Context(), d.caller(r), b.ProvisionCode, b.KeyFingerprint)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.ClaimPayload(c))
}

func (d *httpDoor) requestStatus(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		return fail(gateway.BadRequest, "id: want the number of a request")
	}
	state, err := d.service.RequestStatus(r.Context(), d.caller(r), id)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewRequestStatusPayload(state))
}

func (d *httpDoor) machines(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit := 0
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n == 0 {
			return fail(gateway.BadRequest, "limit: want 1 to %d", maxPage)
		}
		limit = n
	}
	list, err := d.service.ListMachines(r.Context(), d.caller(r), q.Get("after"), limit)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewMachinesPayload(list))
}

func (d *httpDoor) revoke(w http.ResponseWriter, r *http.Request) error {
	var b gateway.RevokeBody
	if err := d.readBody(r, &b); err != nil {
		return err
	}
	at, err := d.service.RevokeMachine(r.Context(), d.caller(r), b.MachineID)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.RevokePayload{Revoked: at.UTC()})
}

func (d *httpDoor) apiKey(w http.ResponseWriter, r *http.Request) error {
	var b gateway.APIKeyBody
	if err := d.readBody(r, &b); err != nil {
		return err
	}
	id, secret, err := d.service.CreateAPIKey(r.Context(), d.caller(r), b.Name)
	if err != nil {
		return err
	}
	return d.answer(w, gateway.NewAPIKeyPayload(id, secret))
}

func (d *httpDoor) root(w http.ResponseWriter, _ *http.Request) error {
	return d.file(w, "application/x-pem-file", []byte(d.service.Root()))
}

func (d *httpDoor) crl(w http.ResponseWriter, r *http.Request) error {
	der, err := d.service.CRL(r.Context())
	if err != nil {
		return err
	}
	return d.file(w, typeCRL, der)
}

func (d *httpDoor) rootCRL(w http.ResponseWriter, _ *http.Request) error {
	der, err := d.service.RootCRL()
	if err != nil {
		return err
	}
	return d.file(w, typeCRL, der)
}

const typeCRL = "application/pkix-crl" // RFC 2585, section 4.2

// file writes one of the CA's files, which are public and change seldom.
func (d *httpDoor) file(w http.ResponseWriter, contentType string, data []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.WriteHeader(http.StatusOK)
	w.Write(data) //nolint:errcheck // an error means that the caller went away
	return nil
}
