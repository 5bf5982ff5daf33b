package main

// The names that are the same in each run on the channel in memory, see fresh.
var (
	app           = "quickstart"
	topic         = "github"       // of all deliveries
	notifications = "notification" // of what the notifier has sent
)

// Repository is where something happened.
type Repository struct {
	FullName string `json:"full_name"`
}

// Push tells that commits were pushed. Like the types below it has the fields that
// our handlers need; the rest of the payload stays in the event.
type Push struct {
	Ref        string     `json:"ref"`
	Commits    []struct{} `json:"commits"`
	Repository Repository `json:"repository"`
}

// EventType names the type as GitHub does; without it the name would be "push", too.
func (Push) EventType() string { return "push" }

// EventTopic puts the type on the topic of all deliveries.
func (Push) EventTopic() string { return topic }

// Issues tells that something happened to an issue.
type Issues struct {
	Action string `json:"action"`
	Issue  struct {
		Number int    `json:"number"`
		Title  string `json:"title"`
	} `json:"issue"`
	Repository Repository `json:"repository"`
}

// EventType names the type as GitHub does.
func (Issues) EventType() string { return "issues" }

// EventTopic puts the type on the topic of all deliveries.
func (Issues) EventTopic() string { return topic }

// PullRequest tells that something happened to a pull request.
type PullRequest struct {
	Action      string `json:"action"`
	Number      int    `json:"number"`
	PullRequest struct {
		Title string `json:"title"`
	} `json:"pull_request"`
	Repository Repository `json:"repository"`
}

// EventType names the type as GitHub does; without it the name would be
// "pull-request".
func (PullRequest) EventType() string { return "pull_request" }

// EventTopic puts the type on the topic of all deliveries.
func (PullRequest) EventTopic() string { return topic }

// Notification is our own: the notifier publishes it for what it has sent. Its type is
// "notification".
type Notification struct {
	Repository string
	Text       string
}

// EventTopic names the topic; without it the name would be that of the type.
func (Notification) EventTopic() string { return notifications }

// EventKey keeps the notifications of a repository in order.
func (n Notification) EventKey() string { return n.Repository }
