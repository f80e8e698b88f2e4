package doctor

import (
	"context"
	"crypto"
	"io/fs"
	"sync"
	"time"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/settings"
)

// Subject is what is looked at: the settings, and the board that they wire.
type Subject struct {
	Settings    settings.Agent
	File        string // of the settings, or empty
	SettingsErr error  // the others say nothing then
	Board       board.Board
	BoardErr    error    // of board.Detect or Board.Wire
	Devices     []Device // what the wiring uses
	SpareLight  bool     // nobody asked for the light in it
}

// Agent is what a running agent says of itself.
type Agent struct {
	State       string
	Error, Hint string
	Trouble     []string
}

// Env is how the checks look at the machine, the network and the clock. All of it
// is needed.
type Env struct {
	Root     fs.FS  // of the file system
	User     string // who this process is
	Now      func() time.Time
	Built    time.Time // of this program; zero when it is not known
	Synced   func() (bool, error)
	Open     func(path string, flag int) error           // opens and closes a device
	Owner    func(path string) (Owner, error)            // whose a path is
	Writable func(folder string) error                   // whether this process may make files there
	Free     func(folder string) (bytes uint64, _ error) // for this process
	InUse    func(state string) bool                     // an agent has this folder of an identity
	Key      func(ctx context.Context, path string) (crypto.PublicKey, keystore.Info, error)
	Resolve  func(ctx context.Context, host string) ([]string, error)
	Ping     func(ctx context.Context) error // the gateway
	Agent    func(ctx context.Context) (Agent, error)
	TPM      func(ctx context.Context, path string) (tpm.Info, error)
}

// Owner is who may use a path.
type Owner struct {
	Group  string // its name, or its number
	GID    int
	Member bool // this process is in the group
	Mode   fs.FileMode
}

// patient is what the checks are given.
type patient struct {
	Subject
	Env

	once     sync.Once
	answered chan struct{} // closed when the two below are set
	status   Agent
	err      error
}

// agentLimit ends the question to the agent before the checks that wait for it.
const agentLimit = checkLimit - 2*time.Second

// agent asks the running agent, once for all checks.
func (p *patient) agent(ctx context.Context) (Agent, error) {
	p.once.Do(func() {
		p.answered = make(chan struct{})
		ctx, cancel := context.WithTimeout(ctx, agentLimit)
		go func() {
			defer close(p.answered)
			defer cancel()
			p.status, p.err = p.Env.Agent(ctx)
		}()
	})
	select {
	case <-p.answered:
		return p.status, p.err
	case <-ctx.Done():
		return Agent{}, ctx.Err()
	}
}

// taken says why lines and buses are not touched: an agent has them, or is about to.
// It is empty when nobody has.
func (p *patient) taken(ctx context.Context) string {
	_, err := p.agent(ctx)
	switch {
	case err == nil:
		return "the running agent has it, and tells at \"agent\" when it does not work"
	case ctx.Err() != nil:
		return "interrupted"
	case p.InUse(p.Settings.Provisioning.Paths.State):
		return "an agent has it that is starting, or does not answer"
	}
	return ""
}
