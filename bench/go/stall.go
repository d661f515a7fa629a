// SPDX-License-Identifier: MIT

package main

import (
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

func gap(what func(*beside), count int) func(*bench) {
	return func(b *bench) {
		var s beside
		var wg sync.WaitGroup
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
		total, pairs := 2*time.Second, 500*time.Millisecond
		if b.smoke {
			total, pairs = 20*time.Millisecond, 20*time.Millisecond
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
		to, from := make(chan int), make(chan int)
		rounds := 0
		go func() {
			for v := range to {
				from <- v
			}
		}()
		start := time.Now()
		for end := start.Add(pairs); time.Now().Before(end); {
			to <- 1
			<-from
			rounds++
		}
		b.final = true
		b.report(float64(most)/1e6, "ms-max-gap")
		b.report(float64(time.Since(start))/float64(rounds), "ns/round-trip")
		close(to)
		s.end.Store(true)
		syscall.Close(s.fds[1])
		wg.Wait()
		syscall.Close(s.fds[0])
	}
}

var stallEntries = []entry{
	{"Gap/alone", gap(nil, 0), 0, 0},
	{"Gap/100-in-usleep", gap(inUsleep, 100), 0, 0},
	{"Gap/8-in-read", gap(inRead, 8), 0, 0},
	{"Gap/4-on-a-mutex", gap(inMutex, 4), 0, 0},
	{"Gap/4-computing", gap(inLoop, 4), 0, 0},
}
