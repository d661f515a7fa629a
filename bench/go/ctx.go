// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

type ctxKey int

const (
	keyPresent ctxKey = -1
	keyAbsent  ctxKey = -2
)

func commonParentCancel(b *bench) {
	root := context.WithValue(context.Background(), keyPresent, "value")
	shared, end := context.WithCancel(root)
	defer end()
	b.reset()
	b.parallel(1, func(p *part) {
		for p.next() {
			child, cancel := context.WithCancel(shared)
			if child.Value(keyPresent) == nil {
				fail("the value is missing")
			}
			localWork(100)
			cancel()
			localWork(100)
		}
	})
	b.stop()
}

func withTimeout(b *bench) {
	const atOnce = 10
	count := b.arg
	if b.smoke {
		count = 40
	}
	cancels := make([]context.CancelFunc, count)
	for i := range cancels {
		_, cancels[i] = context.WithTimeout(context.Background(), time.Hour)
	}
	b.reset()
	b.parallel(1, func(p *part) {
		var cancel [atOnce]context.CancelFunc
		for p.next() {
			for i := range cancel {
				_, cancel[i] = context.WithTimeout(context.Background(), time.Hour)
			}
			for i := range cancel {
				cancel[i]()
			}
		}
	})
	b.stop()
	for _, c := range cancels {
		c()
	}
}

func chainBuild(root context.Context, depth int64) {
	for i := int64(0); i < depth; i++ {
		root, _ = context.WithCancel(root)
	}
}

func treeBackground(b *bench) {
	for i := int64(0); i < b.n; i++ {
		chainBuild(context.Background(), b.arg)
	}
}

func treeOpen(b *bench) {
	for i := int64(0); i < b.n; i++ {
		top, cancel := context.WithCancel(context.Background())
		chainBuild(top, b.arg)
		cancel()
	}
}

func treeClosed(b *bench) {
	for i := int64(0); i < b.n; i++ {
		top, cancel := context.WithCancel(context.Background())
		cancel()
		chainBuild(top, b.arg)
	}
}

func liveOrCancelled(cancelled bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if cancelled {
		cancel()
	}
	return ctx, cancel
}

func checkErr(b *bench, cancelled bool) {
	ctx, end := liveOrCancelled(cancelled)
	defer end()
	b.reset()
	for i := int64(0); i < b.n; i++ {
		if (ctx.Err() != nil) != cancelled {
			fail("a wrong error")
		}
	}
	b.stop()
}

func errOK(b *bench)        { checkErr(b, false) }
func errCancelled(b *bench) { checkErr(b, true) }

func errOKParallel(b *bench) {
	ctx, end := liveOrCancelled(false)
	defer end()
	b.parallel(1, func(p *part) {
		for p.next() {
			if ctx.Err() != nil {
				fail("a wrong error")
			}
		}
	})
}

func errCancelledParallel(b *bench) {
	ctx, end := liveOrCancelled(true)
	defer end()
	b.parallel(1, func(p *part) {
		for p.next() {
			if ctx.Err() == nil {
				fail("a wrong error")
			}
		}
	})
}

func checkDone(b *bench) {
	ctx, end := liveOrCancelled(true)
	defer end()
	b.reset()
	for i := int64(0); i < b.n; i++ {
		select {
		case <-ctx.Done():
		default:
			fail("not done")
		}
	}
	b.stop()
}

func liveDone(b *bench) {
	ctx, end := liveOrCancelled(false)
	defer end()
	b.parallel(1, func(p *part) {
		for p.next() {
			select {
			case <-ctx.Done():
				fail("done")
			default:
			}
		}
	})
}

func lookUp(ctx context.Context) {
	if ctx.Value(keyAbsent) != nil {
		fail("found an absent key")
	}
}

func deepValue(b *bench, newGoroutine bool) {
	ctx := context.Background()
	for i := int64(0); i < b.arg; i++ {
		ctx = context.WithValue(ctx, ctxKey(i), i)
	}
	b.reset()
	for i := int64(0); i < b.n; i++ {
		if newGoroutine {
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				lookUp(ctx)
				wg.Done()
			}()
			wg.Wait()
		} else {
			lookUp(ctx)
		}
	}
	b.stop()
}

func deepValueNew(b *bench)  { deepValue(b, true) }
func deepValueSame(b *bench) { deepValue(b, false) }

var ctxEntries = func() []entry {
	e := []entry{
		{"CommonParentCancel", commonParentCancel, 0, 0},
		{"WithTimeout/concurrency=40", withTimeout, 40, 0},
		{"WithTimeout/concurrency=4000", withTimeout, 4000, 0},
		{"WithTimeout/concurrency=400000", withTimeout, 400000, 0},
	}
	for _, d := range []int64{1, 10, 100, 1000} {
		name := fmt.Sprintf("CancelTree/depth=%d/Root=", d)
		e = append(e, entry{name + "Background", treeBackground, d, 0},
			entry{name + "OpenCanceler", treeOpen, d, 0},
			entry{name + "ClosedCanceler", treeClosed, d, 0})
	}
	e = append(e, entry{"CheckCanceled/Err", errCancelled, 0, 0},
		entry{"CheckCanceled/Done", checkDone, 0, 0},
		entry{"ContextCancelDone", liveDone, 0, 0})
	for _, d := range []int64{10, 20, 30, 50, 100} {
		e = append(e, entry{fmt.Sprintf("DeepValueNewGoRoutine/depth=%d", d), deepValueNew, d, 0})
	}
	for _, d := range []int64{10, 20, 30, 50, 100} {
		e = append(e, entry{fmt.Sprintf("DeepValueSameGoRoutine/depth=%d", d), deepValueSame, d, 0})
	}
	return append(e, entry{"ErrOK", errOK, 0, 0},
		entry{"ErrOKParallel", errOKParallel, 0, 0},
		entry{"ErrCanceledParallel", errCancelledParallel, 0, 0})
}()
