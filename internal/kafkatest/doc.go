// Package kafkatest gives tests a real Apache Kafka: the one that [Brokers] of
// all tests share, or a private [Cluster] whose brokers may be killed and paused.
// The server is fetched and run by the script test/services/kafka, by way of package
// servicetest.
//
// Where there is no Kafka a test is skipped, loudly. With LEAT_REQUIRE_SERVICES=1
// it fails instead: a gate that skips tests holds nothing.
package kafkatest
