package duration

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDays reads a Go duration, or a whole number of days such as "30d".
func ParseDays(text string) (time.Duration, error) {
	if number, inDays := strings.CutSuffix(text, "d"); inDays {
		days, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of days", text)
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	period, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as \"24h\" or \"30d\"", text)
	}
	return period, nil
}
