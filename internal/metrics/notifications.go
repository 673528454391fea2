package metrics

import (
	"context"
	"time"

	"rollcall/internal/notification"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// deliveries holds the metrics of notification attempts.
type deliveries struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newDeliveries(with promauto.Factory) deliveries {
	d := deliveries{
		total: newCounters(with, "notification_deliveries_total",
			"Delivery attempts by result: delivered, pending (will be retried), or given_up.", "kind", "result"),
		seconds: newHistograms(with, "notification_attempt_duration_seconds", "Duration of a delivery attempt.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}, "kind"),
	}
	for _, kind := range notification.Kinds() {
		for _, status := range deliveryStatuses() {
			d.total.WithLabelValues(string(kind), status)
		}
	}
	return d
}

func deliveryStatuses() []string {
	return []string{string(notification.DeliveryDelivered), string(notification.DeliveryPending), string(notification.DeliveryGivenUp)}
}

func notificationKinds() []string {
	names := make([]string, 0, len(notification.Kinds()))
	for _, kind := range notification.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// DeliveryAttempted counts one delivery attempt, by the delivery's status after it.
func (m *Metrics) DeliveryAttempted(kind notification.Kind, status notification.DeliveryStatus, took time.Duration) {
	name := allowedLabel(string(kind), notificationKinds())
	m.deliveries.total.WithLabelValues(name, allowedLabel(string(status), deliveryStatuses())).Inc()
	m.deliveries.seconds.WithLabelValues(name).Observe(took.Seconds())
}

// Outbox is what a scrape reads of deliveries.
type Outbox interface {
	DeliveryGauges(ctx context.Context) ([]notification.Gauge, error)
}

// RegisterOutbox registers the metrics of pending deliveries that each scrape reads from db. It is called once.
func (m *Metrics) RegisterOutbox(db Outbox) {
	m.registry.MustRegister(&outbox{
		db:      db,
		pending: newDesc("notification_deliveries_pending", "Deliveries that no receiver has accepted yet, from the database.", "kind"),
		oldest: newDesc("notification_oldest_pending_seconds",
			"Age of the oldest pending delivery, 0 without any, from the database.", "kind"),
	})
}

// outbox reads the database at each scrape.
type outbox struct {
	db              Outbox
	pending, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *outbox) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.pending
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *outbox) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauges, err := c.db.DeliveryGauges(ctx)
	if err != nil {
		return // rollcall_database_up reports it
	}
	found := map[notification.Kind]notification.Gauge{}
	for _, g := range gauges {
		found[g.Kind] = g
	}
	for _, kind := range notification.Kinds() {
		ch <- newGauge(c.pending, float64(found[kind].Pending), string(kind))
		ch <- newGauge(c.oldest, found[kind].Oldest.Seconds(), string(kind))
	}
}
