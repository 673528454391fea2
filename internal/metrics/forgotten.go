package metrics

// Forgotten counts old deployments that this process has removed.
func (m *Metrics) Forgotten(n int) { m.engine.forgotten.Add(float64(n)) }
