package session

// queue is a first-in-first-out list.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

// all returns the items, the oldest first. The slice is valid until the next change.
func (q *queue[T]) all() []T { return q.items[q.head:] }

func (q *queue[T]) push(item T) {
	if q.head > len(q.items)/2 {
		kept := copy(q.items, q.items[q.head:])
		clear(q.items[kept:])
		q.items, q.head = q.items[:kept], 0
	}
	q.items = append(q.items, item)
}

// pop removes the oldest item. The queue is not empty.
func (q *queue[T]) pop() T {
	item := q.items[q.head]
	var none T
	q.items[q.head] = none
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

// retain removes the items that do not satisfy keep.
func (q *queue[T]) retain(keep func(T) bool) {
	kept := q.items[:0]
	for _, item := range q.all() {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	clear(q.items[len(kept):])
	q.items, q.head = kept, 0
}

func (q *queue[T]) clear() { q.items, q.head = nil, 0 }
