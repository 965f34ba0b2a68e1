package nearest

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Size of a picture and of the room around its plot, in pixels.
const (
	pictureWidth, pictureHeight = 760, 480
	marginLeft, marginRight     = 70, 200
	marginTop, marginBottom     = 40, 50
)

// leastShown is the recall at the left edge.
const leastShown = 0.85

var colours = []string{"#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"}

// Picture draws the curves of a set as SVG: recall to the right, queries a second
// upwards in tenfold steps, up and right is better. The first curve is drawn thick.
func Picture(title string, curves []*Curve) string {
	low, high := math.Inf(1), 0.0
	for _, c := range curves {
		for _, p := range shown(c) {
			low, high = min(low, p.Rate()), max(high, p.Rate())
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	d := drawing{low: math.Log10(low * 0.8), high: math.Log10(high * 1.25)}
	fmt.Fprintf(&d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", pictureWidth, pictureHeight)
	fmt.Fprintf(&d, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="24" font-size="15">%s</text>`+"\n", marginLeft, html.EscapeString(title))
	d.grid()
	place := 0
	for i, c := range curves {
		if ps := shown(c); len(ps) > 0 {
			d.curve(c, ps, colours[i%len(colours)], i == 0, place)
			place++
		}
	}
	d.WriteString("</svg>\n")
	return d.String()
}

func shown(c *Curve) (ps []Point) {
	for _, p := range c.Frontier() {
		if p.Recall >= leastShown && p.Rate() > 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

type drawing struct {
	strings.Builder
	low, high float64 // logarithms of the rates at the edges
}

func (d *drawing) x(recall float64) float64 {
	return marginLeft + (recall-leastShown)/(1-leastShown)*(pictureWidth-marginLeft-marginRight)
}

func (d *drawing) y(rate float64) float64 {
	return marginTop + (d.high-math.Log10(rate))/(d.high-d.low)*(pictureHeight-marginTop-marginBottom)
}

func (d *drawing) grid() {
	bottom, right := pictureHeight-marginBottom, pictureWidth-marginRight
	for percent := 85; percent <= 100; percent += 5 {
		x := d.x(float64(percent) / 100)
		fmt.Fprintf(d, `<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%.2f</text>`+"\n", x, marginTop, bottom, x, bottom+18, float64(percent)/100)
	}
	for power := math.Floor(d.low); power <= d.high; power++ {
		for _, digit := range []float64{1, 2, 5} {
			rate := digit * math.Pow(10, power)
			if l := math.Log10(rate); l < d.low || l > d.high {
				continue
			}
			fmt.Fprintf(d, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", marginLeft, d.y(rate), right, marginLeft-6, d.y(rate)+4, rate)
		}
	}
	fmt.Fprintf(d, `<text x="%d" y="%d" text-anchor="middle">recall of the ten nearest</text>`+"\n", (marginLeft+right)/2, pictureHeight-12)
	fmt.Fprintf(d, `<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %d)">queries a second, one thread</text>`+"\n", (marginTop+bottom)/2, (marginTop+bottom)/2)
}

func (d *drawing) curve(c *Curve, ps []Point, colour string, thick bool, place int) {
	var path strings.Builder
	for i, p := range ps {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], d.x(p.Recall), d.y(p.Rate()))
	}
	width := 1.5
	if thick {
		width = 3
	}
	fmt.Fprintf(d, `<path d="%s" fill="none" stroke="%s" stroke-width="%.1f"/>`+"\n", path.String(), colour, width)
	for _, p := range ps {
		fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>`+"\n", d.x(p.Recall), d.y(p.Rate()), width+1, colour)
	}
	x, y := pictureWidth-marginRight+14, marginTop+10+place*20
	fmt.Fprintf(d, `<path d="M%d %dh20" stroke="%s" stroke-width="%.1f"/><text x="%d" y="%d">%s</text>`+"\n", x, y, colour, width, x+26, y+4, html.EscapeString(c.Engine))
}
