// other is a Go library that has nothing to do with ours.
package main

import "C"

import "runtime"

// OtherSum adds the numbers below n, each in a goroutine of its own, and makes garbage meanwhile.
//
//export OtherSum
func OtherSum(n C.int) C.int {
	terms := make(chan []int)
	for i := range int(n) {
		go func() {
			garbage := make([]int, 1000)
			garbage[0] = i
			terms <- garbage
		}()
	}
	sum := 0
	for range int(n) {
		sum += (<-terms)[0]
	}
	runtime.GC()
	return C.int(sum)
}

func main() {}
