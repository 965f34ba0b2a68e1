package text
import ("testing";"github.com/bits-and-blooms/bitset";"time";"fmt")
func TestZZ(t *testing.T){ x:=indexed(t,100000); a,c:=analyzer(t,"en"),newCorpus(3)
 var r,w time.Duration; best:=func(f func())time.Duration{m:=time.Hour;for range 15{s:=time.Now();f();m=min(m,time.Since(s))};return m}
 for range 60 { q:=a.Query(c.question()); al:=bitset.New(100000); for i:=range uint(100000){al.Set(i)}
  for _,h:=range x.Search(q,SearchOptions{Limit:50000}){al.Clear(uint(h.Doc))}
  none:=best(func(){x.Search(q,SearchOptions{Limit:10})}); anti:=best(func(){x.Search(q,SearchOptions{Limit:10,Allow:al})})
  r+=none; w+=anti }
 fmt.Println("none",r,"anti",w)
}
