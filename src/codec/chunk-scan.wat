;; The loop that looks for the ends of chunks. Format: pxar, sections 6.2 and 6.3.
;; Four bytes a round; the bytes that leave and enter the window are 64 apart, so one pointer serves both.
(module
  (import "content" "memory" (memory 1 65536 shared))
  (global $hash (export "hash") (mut i32) (i32.const 0))

  ;; Takes the bytes at [at, last). Gives the address behind the one that ends a chunk, or 0. The words of the 256 bytes are at $words.
  (func (export "roll") (param $at i32) (param $last i32) (param $mask i32) (param $words i32) (result i32)
    (local $h i32)
    (local $limit i32)
    (local.set $h (global.get $hash))
    (local.set $limit (i32.sub (local.get $mask) (i32.const 2)))
    (local.set $at (i32.sub (local.get $at) (i32.const 64)))
    (local.set $last (i32.sub (local.get $last) (i32.const 64)))
    (block $third (block $second (block $first (block $zeroth
      (block $noQuad
        (loop $quad
          (br_if $noQuad (i32.lt_u (i32.sub (local.get $last) (local.get $at)) (i32.const 4)))
          (local.set $h (i32.xor (i32.rotl (local.get $h) (i32.const 1)) (i32.xor
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u (local.get $at)) (i32.const 2))))
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=64 (local.get $at)) (i32.const 2)))))))
          (br_if $zeroth (i32.ge_u (i32.and (local.get $h) (local.get $mask)) (local.get $limit)))
          (local.set $h (i32.xor (i32.rotl (local.get $h) (i32.const 1)) (i32.xor
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 2))))
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=65 (local.get $at)) (i32.const 2)))))))
          (br_if $first (i32.ge_u (i32.and (local.get $h) (local.get $mask)) (local.get $limit)))
          (local.set $h (i32.xor (i32.rotl (local.get $h) (i32.const 1)) (i32.xor
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=2 (local.get $at)) (i32.const 2))))
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=66 (local.get $at)) (i32.const 2)))))))
          (br_if $second (i32.ge_u (i32.and (local.get $h) (local.get $mask)) (local.get $limit)))
          (local.set $h (i32.xor (i32.rotl (local.get $h) (i32.const 1)) (i32.xor
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=3 (local.get $at)) (i32.const 2))))
            (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=67 (local.get $at)) (i32.const 2)))))))
          (br_if $third (i32.ge_u (i32.and (local.get $h) (local.get $mask)) (local.get $limit)))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (br $quad)))
      (loop $single
        (if (i32.ge_u (local.get $at) (local.get $last))
          (then
            (global.set $hash (local.get $h))
            (return (i32.const 0))))
        (local.set $h (i32.xor (i32.rotl (local.get $h) (i32.const 1)) (i32.xor
          (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u (local.get $at)) (i32.const 2))))
          (i32.load (i32.add (local.get $words) (i32.shl (i32.load8_u offset=64 (local.get $at)) (i32.const 2)))))))
        (br_if $zeroth (i32.ge_u (i32.and (local.get $h) (local.get $mask)) (local.get $limit)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $single)))
      ;; $zeroth
      (return (i32.add (local.get $at) (i32.const 65))))
      ;; $first
      (return (i32.add (local.get $at) (i32.const 66))))
      ;; $second
      (return (i32.add (local.get $at) (i32.const 67))))
    ;; $third
    (i32.add (local.get $at) (i32.const 68))))
