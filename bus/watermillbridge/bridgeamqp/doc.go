// Package bridgeamqp makes channels on RabbitMQ of watermill-amqp.
package bridgeamqp
