// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const dumpsAfter = 5

// What a panic or SIGQUIT writes: the stacks of all, as text.
func dumpMs(file *os.File, room []byte) float64 {
	began := time.Now()
	n := runtime.Stack(room, true)
	if n < 100 || n == len(room) {
		panic("no report, or one cut short")
	}
	if _, err := file.Write(room[:n]); err != nil {
		panic(err)
	}
	return float64(time.Since(began)) / float64(time.Millisecond)
}

func dump(b *bench) {
	b.final = true
	count := b.arg
	if b.smoke {
		count = 100
	}
	file, err := os.CreateTemp("/dev/shm", "report") // in memory
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	room := make([]byte, 64<<20)
	gate := make(chan int)
	var arrived atomic.Int64
	var wg sync.WaitGroup
	for range count {
		wg.Add(1)
		go func() {
			defer wg.Done()
			arrived.Add(1)
			<-gate
		}()
	}
	for arrived.Load() < int64(count) {
		time.Sleep(time.Millisecond)
	}
	b.report(dumpMs(file, room), "first-ms")
	least := dumpMs(file, room)
	for range dumpsAfter - 1 {
		least = min(least, dumpMs(file, room))
	}
	b.report(least, "next-ms")
	close(gate)
	wg.Wait()
}

var dumpEntries = []entry{
	{"Dump/10000", dump, 10000, 0},
}
