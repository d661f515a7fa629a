// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	latencySamples      = 5000
	latencySmokeSamples = 20
	latencyChunk        = 20 * time.Microsecond
)

func latencies(b *bench) []int64 {
	b.final = true
	b.n = latencySamples
	if b.smoke {
		b.n = latencySmokeSamples
	}
	return make([]int64, b.n)
}

func reportLatencies(b *bench, ns []int64) {
	slices.Sort(ns)
	b.report(float64(ns[len(ns)/2]), "p50-ns")
	b.report(float64(ns[len(ns)*99/100]), "p99-ns")
	b.report(float64(ns[len(ns)*999/1000]), "p99.9-ns")
}

func wakeBeside(b *bench, others int) {
	ns := latencies(b)
	ch := make(chan time.Time)
	var over atomic.Bool
	var wg sync.WaitGroup
	for i := 0; i < others; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for !over.Load() {
				end := time.Now().Add(latencyChunk)
				for time.Now().Before(end) {
				}
				runtime.Gosched()
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range ns {
			sent := <-ch
			ns[i] = int64(time.Since(sent))
		}
	}()
	for range ns {
		time.Sleep(100 * time.Microsecond)
		ch <- time.Now()
	}
	over.Store(true)
	wg.Wait()
	reportLatencies(b, ns)
}

func wakeIdle(b *bench) { wakeBeside(b, 0) }

func wakeBusy(b *bench) { wakeBeside(b, 2*b.procs) }

func sleepLatency(b *bench) {
	ns := latencies(b)
	if !b.smoke {
		ns = ns[:latencySamples/5]
		b.n = int64(len(ns))
	}
	for i := range ns {
		due := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		ns[i] = int64(time.Since(due))
	}
	reportLatencies(b, ns)
}

var latencyEntries = []entry{
	{"WakeLatency/idle", wakeIdle, 0, 0},
	{"WakeLatency/busy", wakeBusy, 0, 0},
	{"WakeLatency/sleep", sleepLatency, 0, 0},
}
