// SPDX-License-Identifier: MIT
/// Each function is one access; check.py looks at what became of it. The window comes by value, as it does in a driver
/// that keeps it: its pointer is then in a register already.

#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

namespace {

struct Reg8 : uiovfio::Register<0x10, std::uint8_t, uiovfio::Access::rw> {};
struct Reg16 : uiovfio::Register<0x20, std::uint16_t, uiovfio::Access::rw> {};
struct Reg32 : uiovfio::Register<0x40, std::uint32_t, uiovfio::Access::rw> {};
struct Reg64 : uiovfio::Register<0x80, std::uint64_t, uiovfio::Access::rw> {
    using Count = uiovfio::Field<Reg64, 0, 63, uiovfio::Access::rw>;
};

}  // namespace

extern "C" {

// NOLINTBEGIN(misc-use-internal-linkage): exported, so that the compiler keeps them
std::uint8_t read_8(uiovfio::MappedWindow window) { return Reg8::read(window).raw(); }
std::uint16_t read_16(uiovfio::MappedWindow window) { return Reg16::read(window).raw(); }
std::uint32_t read_32(uiovfio::MappedWindow window) { return Reg32::read(window).raw(); }
std::uint64_t read_64(uiovfio::MappedWindow window) { return Reg64::read(window).get<Reg64::Count>(); }
std::uint32_t read_acquire_32(uiovfio::MappedWindow window) { return Reg32::read_acquire(window).raw(); }

void write_8(uiovfio::MappedWindow window, std::uint8_t value) { Reg8::write(window, value); }
void write_16(uiovfio::MappedWindow window, std::uint16_t value) { Reg16::write(window, value); }
void write_32(uiovfio::MappedWindow window, std::uint32_t value) { Reg32::write(window, value); }
void write_64(uiovfio::MappedWindow window, std::uint64_t value) { Reg64::write(window, value); }
void write_release_32(uiovfio::MappedWindow window, std::uint32_t value) { Reg32::write_release(window, value); }

// As an access by hand would be; the test compares these two with the ones above.
std::uint32_t raw_read_32(volatile std::uint32_t* block) { return block[0x40 / 4]; }
void raw_write_32(volatile std::uint32_t* block, std::uint64_t /*size*/, std::uint32_t value) {
    block[0x40 / 4] = value;
}
// NOLINTEND(misc-use-internal-linkage)

}  // extern "C"
