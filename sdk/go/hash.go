package minerva

import "fmt"

// shortHash identifies a stream in logs without revealing the id: FNV-1a (64 bits) with the finaliser of MurmurHash3, as in
// all programs.
func shortHash(streamID string) string {
	value := uint64(0xCBF29CE484222325)
	for index := range len(streamID) {
		value = (value ^ uint64(streamID[index])) * 0x100000001B3
	}
	value = (value ^ value>>33) * 0xFF51AFD7ED558CCD
	value = (value ^ value>>33) * 0xC4CEB9FE1A85EC53
	return fmt.Sprintf("%08x", (value^value>>33)>>32)
}
