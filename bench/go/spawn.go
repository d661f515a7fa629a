// SPDX-License-Identifier: MIT

package main

import (
	"math"
	"runtime"
	"sync"
	"syscall"
	"time"
	_ "unsafe" // for linkname
)

func spawnWait(b *bench) {
	for i := int64(0); i < b.n; i++ {
		var wg sync.WaitGroup
		wg.Add(1)
		go func() { wg.Done() }()
		wg.Wait()
	}
}

func spawnBatch(b *bench) {
	for left := b.n; left > 0; left -= b.arg {
		var wg sync.WaitGroup
		for i := int64(0); i < b.arg && i < left; i++ {
			wg.Add(1)
			go func() { wg.Done() }()
		}
		wg.Wait()
	}
}

func createSingle(b *bench) {
	var wg sync.WaitGroup
	for i := 0; i < b.procs; i++ {
		wg.Add(1)
		go func() {
			localWork(100000)
			wg.Done()
		}()
	}
	wg.Wait()
	b.reset()
	for i := int64(0); i < b.n; i++ {
		wg.Add(1)
		go func() { wg.Done() }()
	}
	wg.Wait()
}

func chain(n int64, wg *sync.WaitGroup) {
	if n > 1 {
		go chain(n-1, wg)
	} else {
		wg.Done()
	}
}

func chains(b *bench, count int) {
	var wg sync.WaitGroup
	wg.Add(count)
	for i := 0; i < count; i++ {
		go chain(b.n/int64(count), &wg)
	}
	wg.Wait()
}

func create(b *bench)         { chains(b, 1) }
func createParallel(b *bench) { chains(b, b.procs) }

func createCapture(b *bench) {
	limit := int64(8)
	for i := int64(0); i < b.n; i++ {
		var wg sync.WaitGroup
		wg.Add(4)
		for k := int64(0); k < 4; k++ {
			x, y := k, k+1
			go func() {
				if x+y > limit {
					fail("captured a wrong value")
				}
				wg.Done()
			}()
		}
		wg.Wait()
	}
}

func yield(b *bench) {
	var wg sync.WaitGroup
	count := b.arg
	for i := int64(0); i < count; i++ {
		n := b.n / count
		if i < b.n%count {
			n++
		}
		wg.Add(1)
		go func() {
			for i := int64(0); i < n; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func pingPongHog(b *bench) {
	done, ping, pong := make(chan bool), make(chan bool), make(chan bool)
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	go func() {
		defer wg.Done()
		for i := int64(0); i < b.n; i++ {
			pong <- <-ping
		}
	}()
	b.reset()
	for i := int64(0); i < b.n; i++ {
		ping <- true
		<-pong
	}
	b.stop()
	close(done)
	wg.Wait()
}

func spin(d time.Duration) {
	start := time.Now()
	for time.Since(start) < d {
	}
}

func block(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&ts, nil)
}

func wakeup(b *bench, spend func(time.Duration)) {
	ch := make(chan struct{})
	d := time.Duration(b.arg) * time.Microsecond
	var wg sync.WaitGroup
	for _, sender := range []bool{true, false} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int64(0); i < 2*b.n; i++ {
				if sender {
					spend(d + 5*time.Microsecond)
					ch <- struct{}{}
				} else {
					spend(d)
					<-ch
				}
				sender = !sender
			}
		}()
	}
	wg.Wait()
}

func wakeupSpinning(b *bench) { wakeup(b, spin) }
func wakeupSyscall(b *bench)  { wakeup(b, block) }

//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// Between the two a goroutine must not need more stack, so no function here may check for it.
//
//go:nosplit
//go:noinline
func enterLeave(w int64) uint64 {
	entersyscall()
	x := uint64(1)
	for i := int64(0); i < w; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	exitsyscall()
	return x
}

func syscallState(b *bench) {
	b.parallel(int(b.arg), func(p *part) {
		for p.next() {
			enterLeave(0)
		}
	})
}

func syscallWork(b *bench) {
	b.parallel(int(b.arg), func(p *part) {
		for p.next() {
			enterLeave(100)
		}
	})
}

const splitMin = 8

type matrices struct {
	a, b, c [][]float64
}

func multiplyBoth(first, second func()) {
	done := make(chan struct{}, 1)
	go func() {
		first()
		done <- struct{}{}
	}()
	second()
	<-done
}

func (m *matrices) multiply(i0, i1, j0, j1, k0, k1 int) {
	di, dj, dk := i1-i0, j1-j0, k1-k0
	switch {
	case di >= dj && di >= dk && di >= splitMin:
		mi := i0 + di/2
		multiplyBoth(func() { m.multiply(i0, mi, j0, j1, k0, k1) },
			func() { m.multiply(mi, i1, j0, j1, k0, k1) })
	case dj >= dk && dj >= splitMin:
		mj := j0 + dj/2
		multiplyBoth(func() { m.multiply(i0, i1, j0, mj, k0, k1) },
			func() { m.multiply(i0, i1, mj, j1, k0, k1) })
	case dk >= splitMin:
		mk := k0 + dk/2 // both halves add to the same elements
		m.multiply(i0, i1, j0, j1, k0, mk)
		m.multiply(i0, i1, j0, j1, mk, k1)
	default:
		for i := i0; i < i1; i++ {
			for j := j0; j < j1; j++ {
				for k := k0; k < k1; k++ {
					m.c[i][j] += m.a[i][k] * m.b[k][j]
				}
			}
		}
	}
}

func square(size int, v float64) [][]float64 {
	m := make([][]float64, size)
	for i := range m {
		m[i] = make([]float64, size)
		for j := range m[i] {
			m[i][j] = v
		}
	}
	return m
}

func matmult(b *bench) {
	size := int(math.Cbrt(float64(b.n))) + 1
	m := &matrices{square(size, 1), square(size, 2), square(size, 0)}
	b.reset()
	m.multiply(0, size, 0, size, 0, size)
	b.stop()
	for i := range m.c {
		for j := range m.c[i] {
			if m.c[i][j] != 2*float64(size) {
				fail("a wrong product")
			}
		}
	}
}

var spawnEntries = []entry{
	{"SpawnWait", spawnWait, 0, 0},
	{"SpawnBatch1000", spawnBatch, 1000, 0},
	{"Yield1", yield, 1, 0},
	{"Yield2", yield, 2, 0},
	{"Yield1000", yield, 1000, 0},
	{"PingPongHog", pingPongHog, 0, 1},
	{"CreateGoroutines", create, 0, 0},
	{"CreateGoroutinesParallel", createParallel, 0, 0},
	{"CreateGoroutinesCapture", createCapture, 0, 0},
	{"CreateGoroutinesSingle", createSingle, 0, 0},
	{"WakeupParallelSpinning/0us", wakeupSpinning, 0, 0},
	{"WakeupParallelSpinning/1us", wakeupSpinning, 1, 0},
	{"WakeupParallelSpinning/2us", wakeupSpinning, 2, 0},
	{"WakeupParallelSpinning/5us", wakeupSpinning, 5, 0},
	{"WakeupParallelSpinning/10us", wakeupSpinning, 10, 0},
	{"WakeupParallelSpinning/20us", wakeupSpinning, 20, 0},
	{"WakeupParallelSpinning/50us", wakeupSpinning, 50, 0},
	{"WakeupParallelSpinning/100us", wakeupSpinning, 100, 0},
	{"WakeupParallelSyscall/0us", wakeupSyscall, 0, 0},
	{"WakeupParallelSyscall/1us", wakeupSyscall, 1, 0},
	{"WakeupParallelSyscall/2us", wakeupSyscall, 2, 0},
	{"WakeupParallelSyscall/5us", wakeupSyscall, 5, 0},
	{"WakeupParallelSyscall/10us", wakeupSyscall, 10, 0},
	{"WakeupParallelSyscall/20us", wakeupSyscall, 20, 0},
	{"WakeupParallelSyscall/50us", wakeupSyscall, 50, 0},
	{"WakeupParallelSyscall/100us", wakeupSyscall, 100, 0},
	{"Matmult", matmult, 0, 0},
	{"Syscall", syscallState, 1, 0},
	{"SyscallWork", syscallWork, 1, 0},
	{"SyscallExcess", syscallState, 4, 0},
	{"SyscallExcessWork", syscallWork, 4, 0},
}
