package api

import (
	"fmt"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// checkDeployment compares a deployment's revision with what the request requires. The error names the deployment.
func checkDeployment(p httpkit.Precondition, d *rollout.Deployment) error {
	if p.CheckRevision(d.Revision) == nil {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeStale, ID: d.ID,
		Message: fmt.Sprintf("deployment %s is at revision %d, which If-Match does not name", d.ID, d.Revision),
	}
}
