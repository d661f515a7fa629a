// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type beside struct {
	end   atomic.Bool
	fds   [2]int
	mutex sync.Mutex
}

func usleep(us int64) {
	ts := syscall.NsecToTimespec(us * 1000)
	syscall.Nanosleep(&ts, nil)
}

func inUsleep(s *beside) {
	for !s.end.Load() {
		usleep(500000)
	}
}

func inRead(s *beside) {
	var c [1]byte
	for !s.end.Load() {
		if n, _ := syscall.Read(s.fds[0], c[:]); n != 1 {
			return
		}
	}
}

// Go has no pthread mutex; its own, held over a system call, is what comes closest.
func inMutex(s *beside) {
	for !s.end.Load() {
		s.mutex.Lock()
		usleep(5000)
		s.mutex.Unlock()
	}
}

func inLoop(s *beside) {
	for !s.end.Load() {
	}
}

// The pace of two goroutines that have nothing to do with the others: ns of a round trip.
func pair(b *bench) float64 {
	total := 500 * time.Millisecond
	if b.smoke {
		total = 20 * time.Millisecond
	}
	to, from := make(chan int), make(chan int)
	rounds := 0
	go func() {
		for v := range to {
			from <- v
		}
	}()
	start := time.Now()
	for {
		to <- 1
		<-from
		rounds++
		if past := time.Since(start); past >= total {
			close(to)
			return float64(past) / float64(rounds)
		}
	}
}

// How many times as long a round trip of the pair takes beside others that compute, if it gets its
// fair share of the CPUs, of which Go uses no more than it has processors.
func fair(computing int) float64 {
	cpus := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	return max(1, float64(computing+1)/float64(cpus))
}

func gap(what func(*beside), count, computing int) func(*bench) {
	return func(b *bench) {
		var s beside
		var wg sync.WaitGroup
		alone := pair(b)
		if err := syscall.Pipe(s.fds[:]); err != nil {
			fail("no pipe")
		}
		for i := 0; i < count; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				what(&s)
			}()
		}
		total := 2 * time.Second
		if b.smoke {
			total = 20 * time.Millisecond
		}
		var most time.Duration
		before := time.Now()
		for end := before.Add(total); before.Before(end); {
			time.Sleep(time.Millisecond)
			now := time.Now()
			if late := now.Sub(before) - time.Millisecond; late > most {
				most = late
			}
			before = now
		}
		beside := pair(b)
		s.end.Store(true)
		syscall.Close(s.fds[1])
		wg.Wait()
		syscall.Close(s.fds[0])
		alone = (alone + pair(b)) / 2
		b.final = true
		b.report(float64(most)/1e6, "ms-max-gap")
		b.report(beside, "ns/round-trip")
		b.report(beside/alone/fair(computing), "x-fair-share")
	}
}

var stallEntries = []entry{
	{"Gap/alone", gap(nil, 0, 0), 0, 0},
	{"Gap/100-in-usleep", gap(inUsleep, 100, 0), 0, 0},
	{"Gap/8-in-read", gap(inRead, 8, 0), 0, 0},
	{"Gap/4-on-a-mutex", gap(inMutex, 4, 0), 0, 0},
	{"Gap/4-computing", gap(inLoop, 4, 4), 0, 0},
}
