package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on Linux.
const tick = 10 * time.Millisecond

// CPU returns the CPU time that a process has used, to 10 ms; zero when it is
// gone.
func CPU(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Fields 14 and 15 (proc(5)), counted after the name in parentheses.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	return ticks(fields[11:13])
}

// Machine returns the CPU time that all processes together have used on all
// CPUs since the machine was started.
func Machine() time.Duration {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0
	}
	// user, nice, system, then irq and softirq; idle and iowait lie between.
	return ticks(fields[1:4]) + ticks(fields[6:8])
}

// Waited returns for how long, since the machine was started, some process was
// ready to run and had no CPU; zero where the kernel does not tell.
func Waited() time.Duration {
	data, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	_, total, _ := strings.Cut(line, "total=")
	n, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

func ticks(fields []string) time.Duration {
	var sum time.Duration
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// Memory is the resident memory of a process in bytes.
type Memory struct {
	Now, Peak int64
}

// MemoryOf returns the resident memory of a process; zero when it is gone.
func MemoryOf(pid int) Memory {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}
	}
	var m Memory
	for line := range strings.SplitSeq(string(data), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kib, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseInt(kib, 10, 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			m.Now = n << 10
		case name == "VmHWM":
			m.Peak = n << 10
		}
	}
	return m
}
