package quality

import "fmt"

// Turns are what LoCoMo's speakers say, as memories hold it, and the questions about it:
// real text of conversations, to measure speed on.
func Turns(file string) (turns, questions []string, err error) {
	var convs []conversation
	if err := readJSON(file, &convs); err != nil {
		return nil, nil, err
	}
	for n, c := range convs {
		es, err := c.episodes()
		if err != nil {
			return nil, nil, fmt.Errorf("conversation %d: %w", n, err)
		}
		for _, e := range es {
			turns = append(turns, e.Text)
		}
		for _, q := range c.QA {
			questions = append(questions, q.Question)
		}
	}
	return turns, questions, nil
}
