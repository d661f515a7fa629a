// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	smokeCount = 1000
	samples    = 100
)

func footprint() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail("%v", err)
	}
	sum := 0.0
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) >= 2 && (f[0] == "VmRSS:" || f[0] == "VmPTE:") {
			kib, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				fail("%v", err)
			}
			sum += kib
		}
	}
	return sum * 1024
}

func mappings() float64 {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		fail("%v", err)
	}
	return float64(bytes.Count(text, []byte("\n")))
}

func parked(b *bench) {
	count := b.arg
	if b.smoke {
		count = smokeCount
	}
	b.final = true
	b.n = count
	var started atomic.Int64
	var wg sync.WaitGroup
	gate := make(chan struct{})
	footprint()
	before, maps := footprint(), mappings()
	for i := int64(0); i < count; i++ {
		wg.Add(1)
		go func() {
			started.Add(1)
			<-gate
			wg.Done()
		}()
	}
	for started.Load() < count {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	b.report((footprint()-before)/float64(count), "B/goroutine")
	b.report(mappings()-maps, "mappings")
	close(gate)
	wg.Wait()
}

func unstarted(b *bench) {
	count, most, atMost := b.arg, int64(0), 0.0
	if b.smoke {
		count = smokeCount
	}
	b.final = true
	b.n = count
	var started atomic.Int64
	var wg sync.WaitGroup
	footprint()
	before := footprint()
	for i := int64(1); i <= count; i++ {
		wg.Add(1)
		go func() {
			started.Add(1)
			wg.Done()
		}()
		if i%(count/samples) == 0 {
			if waiting := i - started.Load(); waiting > most {
				most = waiting
				atMost = footprint()
			}
		}
	}
	wg.Wait()
	if most > 0 {
		b.report((atMost-before)/float64(most), "B/goroutine")
	} else {
		b.report(0, "B/goroutine")
	}
	b.report(float64(most), "waiting")
}

var memoryEntries = []entry{
	{"ParkedGoroutine/100000", parked, 100000, 0},
	{"ParkedGoroutine/1000000", parked, 1000000, 0},
	{"ParkedSmallGoroutine/1000000", parked, 1000000, 0}, // the same: Go has no others
	{"UnstartedGoroutine/1000000", unstarted, 1000000, 1},
}
