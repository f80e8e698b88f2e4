package provision_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/provision/provisiontest"
)

// withTPM starts the rig's machine anew, with a TPM.
func (r *rig) withTPM() *provisiontest.Attester {
	r.t.Helper()
	a := &provisiontest.Attester{}
	r.powerCut()
	r.config.Attester = a
	r.boot()
	return a
}

func TestAttested(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Require = true
		tpm := r.withTPM()
		r.press()
		code := r.code()
		r.after(6 * time.Minute) // another code, the same TPM
		code2 := r.code()
		if code2 == code || tpm.Asked("Identity") != 1 {
			t.Errorf("codes %s and %s, the TPM was asked %d times for its identity", code, code2, tpm.Asked("Identity"))
		}
		r.claim(code2)
		r.after(10 * time.Second)
		if s := r.want(provisioned); s.Unattested != "" || !r.gw.Proven(code2) {
			t.Errorf("status %+v, proven %t", s, r.gw.Proven(code2))
		}
	})
}

// Power fails between the manifest and the certificate: the next run has a fresh
// challenge answered, for the request it makes then.
func TestAttestedAfterAPowerCut(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Require = true
		tpm := r.withTPM()
		r.gw.Script(provisiontest.Sign, provisiontest.Fault{Delay: time.Hour, Err: errors.New("lost")})
		r.press()
		code := r.code()
		r.claim(code)
		r.after(10 * time.Second)
		r.want(signing)
		r.powerCut()
		r.boot()
		r.after(10 * time.Second)
		r.want(provisioned)
		if !r.gw.Proven(code) || tpm.Asked("Prove") != 2 {
			t.Errorf("proven %t, the TPM was asked %d times", r.gw.Proven(code), tpm.Asked("Prove"))
		}
	})
}

// A lost answer, and a gateway that finds the challenge stale, cost another one.
func TestAttestedAgain(t *testing.T) {
	run(t, func(r *rig) {
		r.gw.Require = true
		r.withTPM()
		r.gw.Script(provisiontest.Sign, provisiontest.Fail(gateway.Unreachable), provisiontest.Fail(gateway.Unauthorized))
		r.press()
		code := r.code()
		r.claim(code)
		r.after(2 * time.Minute)
		r.want(provisioned)
		if !r.gw.Proven(code) {
			t.Error("not proven")
		}
	})
}

// A TPM that fails is no end: the exchange goes on without evidence, and says so.
func TestUnattested(t *testing.T) {
	broken := &gateway.Error{Kind: gateway.Internal, Err: errors.New("TPM_RC_FAILURE"), Advice: "power the machine off and on"}
	for method, want := range map[string]string{
		"Identity": "asking the TPM for its identity: TPM_RC_FAILURE",
		"Prove":    "asking the TPM for evidence: TPM_RC_FAILURE",
	} {
		t.Run(method, func(t *testing.T) {
			run(t, func(r *rig) {
				tpm := r.withTPM()
				tpm.Fail(method, broken)
				r.press()
				code := r.code()
				r.claim(code)
				r.after(10 * time.Second)
				if s := r.want(provisioned); s.Unattested != want || r.gw.Proven(code) {
					t.Errorf("status %+v, proven %t", s, r.gw.Proven(code))
				}
				if log := r.log.String(); !strings.Contains(log, "going on without evidence") || !strings.Contains(log, broken.Advice) {
					t.Errorf("the log does not say so:\n%s", log)
				}
				if _, err := r.Deprovision(r.t.Context()); err != nil {
					t.Fatal(err)
				}
				r.press() // and it works again
				code = r.code()
				r.claim(code)
				r.after(10 * time.Second)
				if s := r.want(provisioned); s.Unattested != "" || !r.gw.Proven(code) || tpm.Asked("Identity") != 2 {
					t.Errorf("status %+v, proven %t, identity asked for %d times", s, r.gw.Proven(code), tpm.Asked("Identity"))
				}
			})
		})
	}
}

// A gateway that wants a TPM says so, at the announcement or at the request.
func TestAttestationRequired(t *testing.T) {
	check := func(r *rig, step string) {
		r.t.Helper()
		s := r.want(failed)
		if s.Error != step+": a TPM is required" || !strings.Contains(s.Hint, "its operator decides") {
			r.t.Errorf("status %+v", s)
		}
	}
	run(t, func(r *rig) {
		r.gw.Require = true
		r.press()
		check(r, "announcing the code")
	})
	run(t, func(r *rig) {
		tpm := r.withTPM()
		r.gw.Require = true
		tpm.Fail("Prove", errors.New("gone"))
		r.press()
		r.claim(r.code())
		r.after(10 * time.Second)
		check(r, "requesting the certificate")
		if s := r.Status(); s.Unattested != "asking the TPM for evidence: gone" {
			t.Errorf("status %+v", s)
		}
	})
}

// A gateway without the fields, and the original cloud, ask for nothing.
func TestAttestationUnknownToTheGateway(t *testing.T) {
	for _, plain := range []bool{false, true} {
		run(t, func(r *rig) {
			tpm := r.withTPM()
			r.gw.Plain = plain
			if !plain {
				r.gw.Always(provisiontest.FindManifest, &provisiontest.Fault{Break: func(m any) { m.(*gateway.Manifest).Challenge = nil }})
			}
			r.press()
			code := r.code()
			r.claim(code)
			r.after(10 * time.Second)
			r.want(provisioned)
			if r.gw.Proven(code) || tpm.Asked("Prove") != 0 {
				t.Errorf("proven %t, asked %d times", r.gw.Proven(code), tpm.Asked("Prove"))
			}
		})
	}
}

// A challenge that no TPM could be asked with is the gateway's fault.
func TestAttestationBadChallenge(t *testing.T) {
	run(t, func(r *rig) {
		tpm := r.withTPM()
		r.gw.Script(provisiontest.FindManifest, provisiontest.Fault{Break: func(m any) {
			m.(*gateway.Manifest).Challenge = &gateway.Challenge{Nonce: make([]byte, 1000)}
		}})
		r.press()
		r.claim(r.code())
		r.after(10 * time.Second)
		if s := r.want(failed); !strings.Contains(s.Error, "the gateway's attestation has a nonce of 1000 bytes") {
			t.Errorf("status %+v", s)
		}
		if tpm.Asked("Prove") != 0 {
			t.Error("the TPM was asked")
		}
	})
}

// The key that follows a removal may be in no TPM: what the old one's said is forgotten.
func TestNoTPMAfterRemoval(t *testing.T) {
	run(t, func(r *rig) {
		tpm := r.withTPM()
		r.generate()
		if _, err := r.Deprovision(r.t.Context()); err != nil {
			t.Fatal(err)
		}
		tpm.None = true
		code := r.generate()
		r.claim(code)
		r.byCode(code)
		if s := r.want(provisioned); tpm.Asked("Identity") != 2 || tpm.Asked("Prove") != 0 || s.Unattested != "" {
			t.Errorf("asked %d times who it is and %d times for evidence; status %+v", tpm.Asked("Identity"), tpm.Asked("Prove"), s)
		}
	})
}
