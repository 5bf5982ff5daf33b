// Package kafka checks bus/kafka against Apache Kafka's own tools, which are written
// on the Java client: what the one writes the other sees, and both put a key into the
// same partition.
package kafka
