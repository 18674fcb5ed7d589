package parts

import "syscall"

// dieWithParent has the kernel kill the process when ours is gone, however it went:
// a test that panics or is interrupted stops nothing itself.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
