// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loadPerProc = 32768
	chunk       = 1000
)

func nothing() {}

// Timers of an hour that make the heap deep; returns what ends them.
func (b *bench) load() func() {
	count := loadPerProc
	if b.smoke {
		count = 100
	}
	timers := make([]*time.Timer, count*b.procs)
	for i := range timers {
		timers[i] = time.AfterFunc(time.Hour, nothing)
	}
	b.reset()
	return func() {
		b.stop()
		for _, t := range timers {
			t.Stop()
		}
	}
}

func underLoad(body func(p *part)) func(*bench) {
	return func(b *bench) {
		end := b.load()
		b.parallel(1, body)
		end()
	}
}

func afterFuncBody(p *part) {
	done := make(chan struct{})
	var step func()
	step = func() {
		if p.next() {
			time.AfterFunc(0, step)
		} else {
			done <- struct{}{}
		}
	}
	go step()
	<-done
}

func simultaneousBody(p *part) {
	var wg sync.WaitGroup
	for p.next() {
		wg.Add(1)
		time.AfterFunc(0, wg.Done)
	}
	wg.Wait()
}

func startStopBody(p *part) {
	var timers [chunk]*time.Timer
	for more := true; more; {
		count := 0
		for count < chunk {
			if more = p.next(); !more {
				break
			}
			timers[count] = time.AfterFunc(time.Hour, nothing)
			count++
		}
		for i := 0; i < count; i++ {
			timers[i].Stop()
		}
	}
}

func afterBody(p *part) {
	for p.next() {
		<-time.After(1)
	}
}

func stopBody(p *part) {
	for p.next() {
		time.NewTimer(time.Second).Stop()
	}
}

func resetBody(p *part) {
	t := time.NewTimer(time.Hour)
	for p.next() {
		t.Reset(time.Hour)
	}
	t.Stop()
}

func sleepBody(p *part) {
	var wg sync.WaitGroup
	for p.next() {
		wg.Add(1)
		go func() {
			time.Sleep(1)
			wg.Done()
		}()
	}
	wg.Wait()
}

func tickerBody(p *part) {
	t := time.NewTicker(1)
	for p.next() {
		<-t.C
	}
	t.Stop()
}

func tickerResetBody(p *part) {
	t := time.NewTicker(time.Nanosecond)
	for p.next() {
		t.Reset(time.Hour)
	}
	t.Stop()
}

func tickerNaiveBody(p *part) {
	t := time.NewTicker(time.Nanosecond)
	for p.next() {
		t.Stop()
		t = time.NewTicker(time.Hour)
	}
	t.Stop()
}

type lateness struct {
	sum, max, count int64
	_               [40]byte
}

func (l *lateness) late(expected time.Time) {
	d := int64(time.Since(expected))
	l.sum += d
	l.count++
	l.max = max(l.max, d)
}

func (b *bench) reportLate(ls []lateness) {
	var all lateness
	for i := range ls {
		all.sum += ls[i].sum
		all.count += ls[i].count
		all.max = max(all.max, ls[i].max)
	}
	b.report(float64(all.sum)/float64(max(all.count, 1)), "avg-late-ns")
	b.report(float64(all.max), "max-late-ns")
}

func parallelLatency(b *bench) {
	count := max(b.procs-1, 1)
	ls := make([]lateness, count)
	for i := int64(0); i < b.n; i++ {
		var left atomic.Int64
		left.Store(int64(count))
		for k := range ls {
			expected := time.Now().Add(time.Millisecond)
			time.AfterFunc(time.Millisecond, func() {
				ls[k].late(expected)
				left.Add(-1)
			})
		}
		for left.Load() > 0 {
		}
	}
	b.stop()
	b.reportLate(ls)
}

func staggered(b *bench) {
	const period = 3 * time.Millisecond
	work := time.Duration(b.arg>>8) * time.Microsecond
	count := int(b.arg&255) * b.procs
	ls := make([]lateness, count)
	var wg sync.WaitGroup
	for k := range ls {
		wg.Add(1)
		go func() {
			defer wg.Done()
			time.Sleep(period * time.Duration(k) / time.Duration(count))
			expected := time.Now().Add(period)
			t := time.NewTicker(period)
			for i := int64(0); i < b.n; i++ {
				<-t.C
				if i > 0 {
					ls[k].late(expected)
				}
				expected = expected.Add(period)
				spin(work)
			}
			t.Stop()
		}()
	}
	wg.Wait()
	b.stop()
	b.reportLate(ls)
}

// In steps of a large prime, so that neither due times nor stops come in the order of arming.
const (
	million = 1000000
	step    = 618033
)

func millionCount(b *bench) int64 {
	b.final = true
	b.n = million
	if b.smoke {
		b.n = 1000
	}
	return b.n
}

func millionStop(b *bench) {
	count := millionCount(b)
	t := make([]*time.Timer, count)
	b.reset()
	for i := range count {
		t[i] = time.NewTimer(time.Hour + time.Duration(i*step%million)*time.Millisecond)
	}
	for i := range count {
		if !t[i*7%count].Stop() {
			fail("a timer of an hour has fired")
		}
	}
}

func millionSleep(b *bench) {
	count := millionCount(b)
	least := time.Second / 2
	if b.smoke {
		least = time.Millisecond
	}
	var wg sync.WaitGroup
	b.reset()
	for i := range count {
		wg.Add(1)
		go func() {
			time.Sleep(least + time.Duration(i*step%million)*time.Microsecond)
			wg.Done()
		}()
	}
	wg.Wait()
}

var timerEntries = func() []entry {
	e := []entry{
		{"AfterFunc", underLoad(afterFuncBody), 0, 0},
		{"After", underLoad(afterBody), 0, 0},
		{"Stop", underLoad(stopBody), 0, 0},
		{"SimultaneousAfterFunc", underLoad(simultaneousBody), 0, 0},
		{"StartStop", underLoad(startStopBody), 0, 0},
		{"Reset", underLoad(resetBody), 0, 0},
		{"Sleep", underLoad(sleepBody), 0, 0},
		{"Ticker", underLoad(tickerBody), 0, 0},
		{"TickerReset", underLoad(tickerResetBody), 0, 0},
		{"TickerResetNaive", underLoad(tickerNaiveBody), 0, 0},
		{"MillionTimers/stop", millionStop, 0, 0},
		{"MillionTimers/sleep", millionSleep, 0, 0},
		{"ParallelTimerLatency", parallelLatency, 0, 0},
	}
	for k := int64(1); k <= 10; k++ {
		e = append(e, entry{fmt.Sprintf("StaggeredTickerLatency/work-dur=300us/tickers-per-P=%d", k),
			staggered, 300<<8 | k, 0})
	}
	return append(e, entry{"StaggeredTickerLatency/work-dur=2ms/tickers-per-P=1", staggered,
		2000<<8 | 1, 0})
}()
