package wirejson

// Nearest gives the known word that is fewest typing errors away from word:
// letters left out, added, changed, or two neighbours swapped. It is "" when
// nothing is near, which is more than half of the word's letters wrong.
func Nearest(word string, known []string) string {
	if len(word) > maxNear {
		return ""
	}
	best, least := "", len(word)/2+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// maxNear bounds the work on a name that a caller made up.
const maxNear = 64

// distance is the optimal string alignment distance, in bytes, without regard to
// case.
func distance(a, b string) int {
	if len(b) > maxNear {
		return maxNear
	}
	var rows [3][maxNear + 1]int
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, cur := &rows[(i-1)%3], &rows[i%3], &rows[(i+1)%3]
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
