package memory

// maxModelName bounds the name of a model.
const maxModelName = 64

// CheckModelName says what is wrong with the name of a model that is to be added:
// 1-64 of a-z 0-9 . - _, starting with a letter or digit. field names it in the
// error. What a space's settings call a model is not bound to it: a caller who
// brings the vectors may call what made them as it likes.
func CheckModelName(field, name string) error {
	ok := len(name) >= 1 && len(name) <= maxModelName
	for i := 0; i < len(name) && ok; i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		ok = letter || i > 0 && (c == '.' || c == '-' || c == '_')
	}
	if !ok {
		return Invalid("model_name_invalid", field, "%s is %.80q, which is not 1-64 of a-z 0-9 . - _, starting with a letter or digit", field, name)
	}
	return nil
}
