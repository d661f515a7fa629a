// SPDX-License-Identifier: MIT

// The Go twin of runnel's benchmarks: the same names, the same workloads, the same rule for the
// number of iterations (bench/driver.c).
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	nMax     = 1000000000
	grainNS  = 100000
	grainMax = 10000
)

type metric struct {
	value float64
	unit  string
}

type bench struct {
	n, grain, arg int64
	procs         int
	smoke         bool
	final         bool // set by the benchmark: no further call, whatever the time
	running       bool
	started       time.Time
	elapsed       int64
	cpuStarted    int64 // ns of all the process's threads, while the clock ran
	cpu           int64
	metrics       []metric
}

type entry struct {
	name  string
	fn    func(b *bench)
	arg   int64
	procs int // 0: as asked for on the command line
}

// The CPU time that all threads of the process have used so far, in ns.
func cpuTime() int64 {
	var ts [2]int64
	const processCPUTime = 2
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processCPUTime, uintptr(unsafe.Pointer(&ts)), 0)
	return ts[0]*1000000000 + ts[1]
}

// The CPU time is read outside of the wall time: it is a system call.
func (b *bench) start() {
	if !b.running {
		b.running = true
		b.cpuStarted = cpuTime()
		b.started = time.Now()
	}
}

func (b *bench) stop() {
	if b.running {
		b.elapsed += int64(time.Since(b.started))
		b.cpu += cpuTime() - b.cpuStarted
		b.running = false
	}
}

func (b *bench) reset() {
	b.elapsed, b.cpu = 0, 0
	b.cpuStarted = cpuTime()
	b.started = time.Now()
}

func (b *bench) report(value float64, unit string) {
	b.metrics = append(b.metrics, metric{value, unit})
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	os.Exit(1)
}

// A parallel loop: procs * k goroutines share b.n iterations.
type share struct {
	_        [64]byte
	taken    atomic.Int64
	n, grain int64
	_        [64]byte
}

type part struct {
	share *share
	left  int64
	index int
}

func (p *part) take() bool {
	s := p.share
	from := s.taken.Add(s.grain) - s.grain
	if from >= s.n {
		return false
	}
	p.left = min(s.n-from, s.grain)
	return true
}

func (p *part) next() bool {
	if p.left == 0 && !p.take() {
		return false
	}
	p.left--
	return true
}

func (b *bench) parallel(k int, body func(p *part)) {
	s := &share{n: b.n, grain: b.grain}
	var wg sync.WaitGroup
	for i := 0; i < b.procs*k; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			body(&part{share: s, index: i})
		}()
	}
	wg.Wait()
}

//go:noinline
func localWork(w int64) uint64 {
	x := uint64(1)
	for i := int64(0); i < w; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

func (e *entry) call(b *bench) {
	runtime.GC() // the garbage of the call before is not this one's, as in package testing
	b.elapsed, b.cpu = 0, 0
	b.metrics = nil
	b.running = false
	b.start()
	e.fn(b)
	b.stop()
	b.elapsed = max(b.elapsed, 1)
}

var (
	pattern  = flag.String("run", "", "run the benchmarks whose name matches")
	procs    = flag.Int("procs", 0, "GOMAXPROCS (0: the default)")
	count    = flag.Int("count", 1, "repetitions")
	targetMS = flag.Int64("time", 100, "milliseconds that the measured call shall take at least")
	fixedN   = flag.Int64("n", 0, "iterations (0: grow)")
	smoke    = flag.Bool("smoke", false, "only prove that it works")
	onlyList = flag.Bool("list", false, "print the names")
)

func (e *entry) measure() {
	target := *targetMS * 1000000
	b := &bench{n: max(*fixedN, 1), grain: 1, arg: e.arg, procs: runtime.GOMAXPROCS(0), smoke: *smoke}
	e.call(b)
	for !b.final && *fixedN == 0 && b.elapsed < target && b.n < nMax {
		want := 1.2 * float64(target) * float64(b.n) / float64(b.elapsed)
		b.grain = min(max(grainNS/max(b.elapsed/b.n, 1), 1), grainMax)
		b.n = min(max(int64(min(want, nMax)), b.n+1), b.n*100, nMax)
		e.call(b)
	}
	if len(b.metrics) == 0 {
		b.report(float64(b.elapsed)/float64(b.n), "ns/op")
		b.report(float64(b.cpu)/float64(b.n), "cpu-ns/op")
	}
	for _, m := range b.metrics {
		fmt.Printf("%-44s %14.2f %-14s %12d\n", e.name, m.value, m.unit, b.n)
	}
}

func main() {
	flag.Parse()
	if *smoke && *fixedN == 0 {
		*fixedN = 3
	}
	re, err := regexp.Compile(*pattern)
	if err != nil {
		fail("%v", err)
	}
	normal := *procs
	if normal == 0 {
		normal = runtime.GOMAXPROCS(0)
	}
	for _, table := range [][]entry{chanEntries, selectEntries, spawnEntries, syncEntries,
		ctxEntries, timerEntries, memoryEntries, programEntries, latencyEntries, dumpEntries, stallEntries,
		netEntries, cancelEntries} {
		for i := range table {
			e := &table[i]
			if !re.MatchString(e.name) {
				continue
			}
			if *onlyList {
				fmt.Println(e.name)
				continue
			}
			for k := 0; k < *count; k++ {
				if e.procs > 0 {
					runtime.GOMAXPROCS(e.procs)
				} else {
					runtime.GOMAXPROCS(normal)
				}
				e.measure()
			}
		}
	}
}
