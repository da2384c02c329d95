package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// owner is who runs the server: PostgreSQL refuses to be root.
type owner struct {
	uid, gid uint32
	other    bool
}

func serverOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return owner{}, fmt.Errorf("root needs the user postgres to run a server as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return owner{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return owner{}, err
	}
	return owner{uid: uint32(uid), gid: uint32(gid), other: true}, nil
}

// takes makes cmd run as the owner.
func (o owner) takes(cmd *exec.Cmd) {
	if !o.other {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// mkdir makes a folder that belongs to the owner.
func (o owner) mkdir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil || !o.other {
		return err
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}
