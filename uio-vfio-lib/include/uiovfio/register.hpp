// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Registers as types. What a register forbids does not compile, and what it allows is the one load or store that one
/// would have written by hand.
///
///     struct Ctrl : uiovfio::Register<0x20, std::uint32_t, uiovfio::Access::rw, 0x1> {
///         using Reset = uiovfio::Field<Ctrl, 0, 0, uiovfio::Access::rw1s>;
///         using Speed = uiovfio::Field<Ctrl, 4, 7, uiovfio::Access::rw>;
///     };
///
///     auto value = Ctrl::read(window);                  // one load; `value` is a snapshot, it never touches the bus
///     if (value.get<Ctrl::Speed>() != 3) ...
///     Ctrl::write(window, Ctrl::Value{}.set<Ctrl::Speed>(3));     // one store
///     Ctrl::modify(window, [](auto& v) { v.template set<Ctrl::Speed>(3); });   // a load and a store
///     Ctrl::Reset::trigger(window);                     // sets a write-1 bit and no other one

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "uiovfio/mmio.hpp"

namespace uiovfio {

/// What software may do with a register or a field.
enum class Access {
    ro,    ///< read-only
    rw,    ///< read and write
    wo,    ///< write-only
    rw1c,  ///< a written 1 clears the bit, a 0 leaves it
    rw1s,  ///< a written 1 sets the bit and starts what it names, a 0 leaves it
    rc,    ///< cleared by being read
};

/// True where a load tells something, and where a store may change something.
constexpr bool is_readable(Access access) noexcept { return access != Access::wo; }
constexpr bool is_writable(Access access) noexcept { return access != Access::ro && access != Access::rc; }
/// True for bits where writing back what was read does harm.
constexpr bool is_write_one(Access access) noexcept { return access == Access::rw1c || access == Access::rw1s; }

/// Something that registers can be reached through: MappedWindow, Window, or a test's fake.
template <class Io>
concept RegisterIo = requires(Io& io, std::size_t offset) {
    { io.template load<std::uint32_t>(offset) } -> std::same_as<std::uint32_t>;
    { io.template store<std::uint32_t>(offset, std::uint32_t{}) };
};

namespace detail {
/// Throws Errc::out_of_bounds; out of line so that the check costs a compare.
[[noreturn]] void throw_field_overflow(unsigned width, std::uint64_t value);
[[noreturn]] void throw_bad_register_index(std::size_t index, std::size_t count);
}  // namespace detail

/// A snapshot of a register: plain bits with named fields.
template <class Reg, MmioWidth T>
class RegisterValue {
  public:
    constexpr RegisterValue() noexcept = default;
    /// From the bits as they are on the bus, and back.
    constexpr RegisterValue(T raw) noexcept : raw_{raw} {}  // NOLINT(google-explicit-constructor): write(io, 5)

    /// The bits as they are on the bus.
    [[nodiscard]] constexpr T raw() const noexcept { return raw_; }
    /// raw().
    constexpr explicit operator T() const noexcept { return raw_; }

    /// The value of a field; one that is write-only does not compile.
    template <class F>
    [[nodiscard]] constexpr typename F::ValueType get() const noexcept {
        static_assert(std::derived_from<typename F::Owner, Reg>, "the field belongs to another register");
        static_assert(is_readable(F::kAccess), "the field is write-only");
        return static_cast<typename F::ValueType>((raw_ & static_cast<T>(F::kMask)) >> F::kLsb);
    }

    /// Replaces a field. Throws Errc::out_of_bounds when the value does not fit (a compile error in a constant).
    template <class F>
    constexpr RegisterValue& set(typename F::ValueType value) {
        static_assert(std::derived_from<typename F::Owner, Reg>, "the field belongs to another register");
        static_assert(is_writable(F::kAccess), "the field is read-only");
        const auto bits = static_cast<std::uint64_t>(value);
        if (bits > F::kMax) detail::throw_field_overflow(F::kWidth, bits);
        raw_ = static_cast<T>((raw_ & ~static_cast<T>(F::kMask)) | static_cast<T>(bits << F::kLsb));
        return *this;
    }

    friend constexpr bool operator==(const RegisterValue&, const RegisterValue&) noexcept = default;

  private:
    T raw_ = 0;
};

/// A register at `Offset` of its block.
///
/// `WriteOneMask` names the bits of rw1c and rw1s fields inside a rw register: modify() writes them as 0, so that a
/// read-modify-write neither clears a cause nor starts an action by accident.
template <std::size_t Offset, MmioWidth T, Access A, T WriteOneMask = T{0}>
struct Register {
    static_assert(Offset % sizeof(T) == 0, "a register is naturally aligned");

    /// What the register holds, its place in bytes from the block's start, and what may be done with it.
    using Raw = T;
    /// A snapshot of it.
    using Value = RegisterValue<Register, T>;
    static constexpr std::size_t kOffset = Offset;
    static constexpr Access kAccess = A;
    static constexpr T kWriteOneMask = WriteOneMask;

    /// One load: a snapshot.
    template <RegisterIo Io>
    [[nodiscard, gnu::always_inline]] static Value read(Io& io) noexcept(noexcept(io.template load<T>(Offset)))
        requires(is_readable(A))
    {
        return Value{io.template load<T>(Offset)};
    }

    /// One store of the whole register.
    template <RegisterIo Io>
    [[gnu::always_inline]] static void write(Io& io, Value value) noexcept(noexcept(io.template store<T>(Offset, T{})))
        requires(is_writable(A))
    {
        io.template store<T>(Offset, value.raw());
    }

    /// A load after which memory that the device wrote before the register changed may be read.
    template <RegisterIo Io>
    [[nodiscard, gnu::always_inline]] static Value read_acquire(Io& io) noexcept(noexcept(io.template load<T>(Offset)))
        requires(is_readable(A))
    {
        const Value value{io.template load<T>(Offset)};
        read_barrier();
        return value;
    }

    /// A store that the device sees after all memory that was written before; what a doorbell needs.
    template <RegisterIo Io>
    [[gnu::always_inline]] static void write_release(Io& io,
                                                     Value value) noexcept(noexcept(io.template store<T>(Offset, T{})))
        requires(is_writable(A))
    {
        write_barrier();
        io.template store<T>(Offset, value.raw());
    }

    /// Reads, lets `change(Value&)` alter the snapshot, and writes it back. Not atomic: two threads that modify one
    /// register need an order of their own. Registers that are rw1c or rw1s as a whole have no modify().
    template <RegisterIo Io, std::invocable<Value&> Change>
    static void modify(Io& io, Change&& change)
        requires(A == Access::rw)
    {
        Value value{static_cast<T>(io.template load<T>(Offset) & static_cast<T>(~WriteOneMask))};
        std::forward<Change>(change)(value);
        io.template store<T>(Offset, value.raw());
    }
};

/// `Count` registers of one kind, sizeof(T) bytes apart.
template <std::size_t Offset, MmioWidth T, std::size_t Count, Access A, T WriteOneMask = T{0}>
struct RegisterArray {
    static_assert(Offset % sizeof(T) == 0, "a register is naturally aligned");
    static_assert(Count > 0);

    /// What one of them holds, where the first one is in bytes from the block's start, and what may be done with them.
    using Raw = T;
    /// A snapshot of one.
    using Value = RegisterValue<RegisterArray, T>;
    static constexpr std::size_t kOffset = Offset;
    static constexpr std::size_t kCount = Count;
    static constexpr Access kAccess = A;
    static constexpr T kWriteOneMask = WriteOneMask;

    /// The register at a position known when compiling.
    template <std::size_t Index>
        requires(Index < Count)
    using Element = Register<Offset + Index * sizeof(T), T, A, WriteOneMask>;

    /// Offset of an element; throws Errc::out_of_bounds.
    static constexpr std::size_t offset(std::size_t index) {
        if (index >= Count) detail::throw_bad_register_index(index, Count);
        return Offset + index * sizeof(T);
    }

    /// As Register::read(). Throws Errc::out_of_bounds.
    template <RegisterIo Io>
    [[nodiscard]] static Value read(Io& io, std::size_t index)
        requires(is_readable(A))
    {
        return Value{io.template load<T>(offset(index))};
    }

    /// As Register::write(). Throws Errc::out_of_bounds.
    template <RegisterIo Io>
    static void write(Io& io, std::size_t index, Value value)
        requires(is_writable(A))
    {
        io.template store<T>(offset(index), value.raw());
    }

    /// As Register::modify(). Throws Errc::out_of_bounds.
    template <RegisterIo Io, std::invocable<Value&> Change>
    static void modify(Io& io, std::size_t index, Change&& change)
        requires(A == Access::rw)
    {
        Value value{static_cast<T>(io.template load<T>(offset(index)) & static_cast<T>(~WriteOneMask))};
        std::forward<Change>(change)(value);
        io.template store<T>(offset(index), value.raw());
    }
};

namespace detail {
template <unsigned Width>
using DefaultFieldType =
    std::conditional_t<Width == 1, bool, std::conditional_t<Width <= 32, std::uint32_t, std::uint64_t>>;
}

/// Bits `Lsb` to `Msb` of the register `Reg`, read as `V` (an enumeration, bool or an unsigned integer).
template <class Reg, unsigned Lsb, unsigned Msb, Access A, class V = detail::DefaultFieldType<Msb - Lsb + 1>>
struct Field {
    static_assert(Lsb <= Msb && Msb < 64);

    /// The register, how a value of the field is typed, its bits counted from 0, and the largest value that fits.
    using Owner = Reg;
    /// What get() gives and set() takes.
    using ValueType = V;
    static constexpr unsigned kLsb = Lsb;
    static constexpr unsigned kMsb = Msb;
    static constexpr unsigned kWidth = Msb - Lsb + 1;
    static constexpr Access kAccess = A;
    static constexpr std::uint64_t kMax = kWidth == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (kWidth % 64)) - 1;
    static constexpr std::uint64_t kMask = kMax << Lsb;

    /// Reads the register and gives this field of it.
    template <RegisterIo Io>
    [[nodiscard]] static V read(Io& io)
        requires(is_readable(A))
    {
        return Reg::read(io).template get<Field>();
    }

    /// Clears the bits of a rw1c field by writing ones to them; every other bit is left alone.
    template <RegisterIo Io>
    static void clear(Io& io)
        requires(A == Access::rw1c)
    {
        write_ones(io);
    }

    /// Sets the bits of a rw1s field by writing ones to them; every other bit is left alone.
    template <RegisterIo Io>
    static void trigger(Io& io)
        requires(A == Access::rw1s)
    {
        write_ones(io);
    }

  private:
    template <RegisterIo Io>
    static void write_ones(Io& io) {
        using Value = typename Reg::Value;
        using Raw = typename Reg::Raw;
        if constexpr (Reg::kAccess == Access::rw) {
            Reg::modify(io,
                        [](Value& value) { value = Value{static_cast<Raw>(value.raw() | static_cast<Raw>(kMask))}; });
        } else {
            Reg::write(io, Value{static_cast<Raw>(kMask)});
        }
    }
};

}  // namespace uiovfio
