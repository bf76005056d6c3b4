// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Registers as types. What a register forbids does not compile, and what it allows is the one load or store that one
/// would have written by hand. Nor does what cannot be meant: a field that reaches beyond its register or does not fit
/// into its type, a write-1 field that modify() would not spare, a 64-bit value for a register of 32.
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
#include <limits>
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

/// True if a load gives something, and if a store may change something.
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

/// What must hold for a field F of a register Reg of T's width, wherever the field is used. Reg may also be a word of a
/// descriptor, which is no register: that is not modified in the device.
template <class Reg, class T, class F>
constexpr void check_field() noexcept {
    constexpr bool kIsWithin = F::kMsb < 8 * sizeof(T);
    static_assert(kIsWithin, "the field reaches beyond its register");
    if constexpr (requires { Reg::kWriteOneMask; }) {
        constexpr bool kIsModified = kIsWithin && Reg::kAccess == Access::rw;
        constexpr std::uint64_t kSpared = Reg::kWriteOneMask & F::kMask;
        static_assert(!kIsModified || !is_write_one(F::kAccess) || kSpared == F::kMask,
                      "the register's WriteOneMask lacks this field: modify() would write back what it read of it");
        static_assert(
            !kIsModified || F::kAccess != Access::rw || kSpared == 0,
            "the register's WriteOneMask has bits of this field, which is none of rw1c or rw1s: modify() would "
            "write them as 0");
    }
}

/// Change what was read in place. By value or const it would change a copy, and be lost.
template <class Change, class Value>
constexpr void check_change() noexcept {
    static_assert(!std::invocable<Change, Value>,
                  "modify() wants a function that takes the value by reference, as auto& or Value&: what it did to a "
                  "copy would be lost");
}
}  // namespace detail

/// A snapshot of a register: plain bits with named fields.
template <class Reg, MmioWidth T>
class RegisterValue {
  public:
    constexpr RegisterValue() noexcept = default;
    /// From the bits as they are on the bus, and back.
    constexpr RegisterValue(T raw) noexcept : raw_{raw} {}  // NOLINT(google-explicit-constructor): write(io, 5)
    /// A wider integer would lose its upper half: cast it if that is meant. An int passes, as constants are.
    template <std::integral Wider>
        requires(sizeof(Wider) > sizeof(T) && !std::same_as<Wider, int>)
    RegisterValue(Wider) = delete;  // NOLINT(google-explicit-constructor): as the one above

    /// The bits as they are on the bus.
    [[nodiscard]] constexpr T raw() const noexcept { return raw_; }
    /// raw().
    constexpr explicit operator T() const noexcept { return raw_; }

    /// The value of a field; one that is write-only does not compile.
    template <class F>
    [[nodiscard]] constexpr typename F::ValueType get() const noexcept {
        static_assert(std::derived_from<typename F::Owner, Reg>, "the field belongs to another register");
        static_assert(is_readable(F::kAccess), "the field is write-only");
        detail::check_field<Reg, T, F>();
        return static_cast<typename F::ValueType>((raw_ & static_cast<T>(F::kMask)) >> F::kLsb);
    }

    /// Replaces a field. Throws Errc::out_of_bounds when the value does not fit (a compile error in a constant).
    template <class F>
    constexpr RegisterValue& set(typename F::ValueType value) {
        static_assert(std::derived_from<typename F::Owner, Reg>, "the field belongs to another register");
        static_assert(is_writable(F::kAccess), "the field is read-only");
        detail::check_field<Reg, T, F>();
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
/// read-modify-write neither clears a cause nor starts an action by accident. A field of such a kind that it does not
/// name does not compile.
template <std::size_t Offset, MmioWidth T, Access A, T WriteOneMask = T{0}>
struct Register {
    static_assert(Offset % sizeof(T) == 0, "a register is naturally aligned");
    static_assert(A == Access::rw || WriteOneMask == 0, "WriteOneMask is for registers that are rw");

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
    [[gnu::always_inline]] static void modify(Io& io, Change&& change)
        requires(A == Access::rw)
    {
        detail::check_change<Change, Value>();
        Value value{static_cast<T>(io.template load<T>(Offset) & static_cast<T>(~WriteOneMask))};
        std::forward<Change>(change)(value);
        io.template store<T>(Offset, value.raw());
    }
};

/// `Count` registers of one kind, sizeof(T) bytes apart.
template <std::size_t Offset, MmioWidth T, std::size_t Count, Access A, T WriteOneMask = T{0}>
struct RegisterArray {
    static_assert(Offset % sizeof(T) == 0, "a register is naturally aligned");
    static_assert(Count > 0, "an array has a register at least");
    static_assert(Count <= (std::numeric_limits<std::size_t>::max() - Offset) / sizeof(T), "the array ends nowhere");
    static_assert(A == Access::rw || WriteOneMask == 0, "WriteOneMask is for registers that are rw");

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
    [[nodiscard, gnu::always_inline]] static Value read(Io& io, std::size_t index)
        requires(is_readable(A))
    {
        return Value{io.template load<T>(offset(index))};
    }

    /// As Register::write(). Throws Errc::out_of_bounds.
    template <RegisterIo Io>
    [[gnu::always_inline]] static void write(Io& io, std::size_t index, Value value)
        requires(is_writable(A))
    {
        io.template store<T>(offset(index), value.raw());
    }

    /// As Register::modify(). Throws Errc::out_of_bounds.
    template <RegisterIo Io, std::invocable<Value&> Change>
    [[gnu::always_inline]] static void modify(Io& io, std::size_t index, Change&& change)
        requires(A == Access::rw)
    {
        detail::check_change<Change, Value>();
        Value value{static_cast<T>(io.template load<T>(offset(index)) & static_cast<T>(~WriteOneMask))};
        std::forward<Change>(change)(value);
        io.template store<T>(offset(index), value.raw());
    }
};

namespace detail {
template <unsigned Width>
using DefaultFieldType =
    std::conditional_t<Width == 1, bool, std::conditional_t<Width <= 32, std::uint32_t, std::uint64_t>>;

template <class V>
struct FieldTypeOf {
    using Type = V;
};
template <class V>
    requires std::is_enum_v<V>
struct FieldTypeOf<V> {
    using Type = std::underlying_type_t<V>;
};
/// How many bits a field of type V can have: those that V, or what is behind the enumeration, holds.
template <class V>
constexpr unsigned field_type_bits() noexcept {
    using Type = typename FieldTypeOf<V>::Type;
    return std::same_as<Type, bool> ? 1 : 8 * sizeof(Type);
}
}  // namespace detail

/// Bits `Lsb` to `Msb` of the register `Reg`, read as `V` (an enumeration, bool or an unsigned integer that holds
/// them).
template <class Reg, unsigned Lsb, unsigned Msb, Access A, class V = detail::DefaultFieldType<Msb - Lsb + 1>>
struct Field {
    static_assert(Lsb <= Msb, "the lower bit comes first: Field<Register, lsb, msb, ...>");
    static_assert(Msb < 64, "no register has more than 64 bits");
    static_assert(std::is_enum_v<V> || std::unsigned_integral<V>,
                  "a field is an enumeration, bool or unsigned integer");
    static_assert(Lsb > Msb || Msb - Lsb < detail::field_type_bits<V>(),
                  "the field's type does not hold all of its bits");

    /// The register, how a value of the field is typed, its bits counted from 0, and the largest value that fits.
    using Owner = Reg;
    /// What get() gives and set() takes.
    using ValueType = V;
    static constexpr unsigned kLsb = Lsb;
    static constexpr unsigned kMsb = Msb;
    static constexpr unsigned kWidth = Msb - Lsb + 1;
    static constexpr Access kAccess = A;
    static constexpr std::uint64_t kMax = kWidth >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (kWidth % 64)) - 1;
    static constexpr std::uint64_t kMask = kMax << Lsb % 64;

    /// Reads the register and gives this field of it. Of a RegisterArray, `index` says which: these functions then
    /// throw Errc::out_of_bounds.
    template <RegisterIo Io, std::convertible_to<std::size_t>... Index>
    [[nodiscard, gnu::always_inline]] static V read(Io& io, Index... index)
        requires(is_readable(A))
    {
        return Reg::read(io, static_cast<std::size_t>(index)...).template get<Field>();
    }

    /// Clears the bits of a rw1c field by writing ones to them. In a register of access rw every other bit is written
    /// as it reads; in any other it is written as 0, which write-one bits ignore.
    template <RegisterIo Io, std::convertible_to<std::size_t>... Index>
    [[gnu::always_inline]] static void clear(Io& io, Index... index)
        requires(A == Access::rw1c)
    {
        write_ones(io, static_cast<std::size_t>(index)...);
    }

    /// Sets the bits of a rw1s field by writing ones to them; the other bits as clear() does.
    template <RegisterIo Io, std::convertible_to<std::size_t>... Index>
    [[gnu::always_inline]] static void trigger(Io& io, Index... index)
        requires(A == Access::rw1s)
    {
        write_ones(io, static_cast<std::size_t>(index)...);
    }

  private:
    template <RegisterIo Io, std::same_as<std::size_t>... Index>
    [[gnu::always_inline]] static void write_ones(Io& io, Index... index) {
        using Value = typename Reg::Value;
        using Raw = typename Reg::Raw;
        detail::check_field<Reg, Raw, Field>();
        if constexpr (Reg::kAccess == Access::rw) {
            Reg::modify(io, index...,
                        [](Value& value) { value = Value{static_cast<Raw>(value.raw() | static_cast<Raw>(kMask))}; });
        } else {
            Reg::write(io, index..., Value{static_cast<Raw>(kMask)});
        }
    }
};

}  // namespace uiovfio
