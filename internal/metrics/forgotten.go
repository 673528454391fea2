package metrics

// DeploymentsDeleted counts expired deployments that this process deleted.
func (m *Metrics) DeploymentsDeleted(n int) { m.engine.forgotten.Add(float64(n)) }
