package engramclient

import (
	"context"
	"time"
)

// Waits gives a client a clock of its own: what it would wait is told to slept,
// and the dice always fall on dice.
func (o *Options) Waits(dice float64, slept func(time.Duration)) {
	o.dice = func() float64 { return dice }
	o.sleep = func(ctx context.Context, d time.Duration) error {
		slept(d)
		return ctx.Err()
	}
}

// Writes says whether a call counts as a write.
func Writes(name string) bool { return writes[name] }
